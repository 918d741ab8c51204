package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/cmd/phantom-vm/internal/monitor"
)

// exporter serves the numbers of one instance over HTTP, in the format of Prometheus.
type exporter struct {
	listener net.Listener
	server   *http.Server
	url      string
}

// metricsAddress checks an address for --metrics and returns it as HOST:PORT with a numeric host. Only loopback addresses
// are allowed unless public is set.
func metricsAddress(addr string, public bool) (string, error) {
	host, port := "127.0.0.1", addr
	if strings.Contains(addr, ":") {
		var err error
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return "", fail(exitUsage, "--metrics %s: want HOST:PORT or PORT: %w", addr, err)
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fail(exitUsage, "--metrics %s: want HOST:PORT or PORT, a port being 0 to 65535", addr)
	}
	var ips []net.IP
	switch host {
	case "":
		ips = []net.IP{net.IPv6zero}
	case "localhost":
		ips = []net.IP{net.IPv4(127, 0, 0, 1)}
	default:
		if ip := net.ParseIP(host); ip != nil {
			ips = []net.IP{ip}
		} else if found, err := net.LookupIP(host); err == nil {
			ips = found
		} else {
			return "", fail(exitUsage, "--metrics %s: %w", addr, err)
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() && !public {
			return "", fail(exitUsage, "--metrics %s: other machines could read the numbers there; give a loopback address such as 127.0.0.1:%s, or --metrics-public", addr, port)
		}
	}
	return net.JoinHostPort(ips[0].String(), port), nil
}

// listenMetrics takes the address, before anything else is made or moved.
func listenMetrics(addr string, public bool) (*exporter, error) {
	at, err := metricsAddress(addr, public)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, fail(exitUnavailable, "--metrics %s: %w", addr, err)
	}
	return &exporter{listener: l, url: fmt.Sprintf("http://%s/metrics", l.Addr())}, nil
}

// Limits of what a client of the exporter may do.
const (
	scrapeLimit   = 10 * time.Second
	scrapesAtOnce = 8
)

// serve begins to answer.
func (e *exporter) serve(rec instance.Record, kind monitor.Kind, numbers func() monitor.Numbers) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(rec, kind, numbers))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce}))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "Phantom VM: /metrics\n") //nolint:errcheck // a client that went away needs no answer
	})
	e.server = &http.Server{
		Handler: mux, ReadTimeout: scrapeLimit, WriteTimeout: scrapeLimit, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // what strangers send is no message for the user
	}
	go func() {
		if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
			e.listener.Close()
		}
	}()
}

// close ends the service.
func (e *exporter) close() {
	if e.server != nil {
		e.server.Close()
	}
	e.listener.Close()
}
