package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/cmd/phantom-vm/internal/monitor"
	"phantomvm/objectvm/machine/wire"
)

func TestMetricsAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"9464": "127.0.0.1:9464", "127.0.0.1:0": "127.0.0.1:0", "127.3.2.1:80": "127.3.2.1:80", "[::1]:9464": "[::1]:9464", "localhost:1": "127.0.0.1:1", "0": "127.0.0.1:0",
	} {
		got, err := metricsAddress(addr, false)
		require.NoError(t, err, addr)
		require.Equal(t, want, got)
	}
	for addr, want := range map[string]string{
		":9464": "loopback", "0.0.0.0:9464": "loopback", "[::]:9464": "loopback", "192.0.2.1:80": "loopback", "[2001:db8::1]:80": "loopback",
		"": "port", "127.0.0.1": "port", "port": "port", "127.0.0.1:http": "port", "127.0.0.1:65536": "port", "-1": "port", "127.0.0.1:-1": "port",
		"::1:80": "HOST:PORT", "[::1:80": "HOST:PORT", "1:2:3": "HOST:PORT", "http://127.0.0.1:80": "HOST:PORT", "\x00": "port", "no such host:80": "no such host",
	} {
		_, err := metricsAddress(addr, false)
		require.ErrorContains(t, err, want, addr)
		var e *exitError
		require.ErrorAs(t, err, &e)
		require.Equal(t, exitUsage, e.code)
	}
	got, err := metricsAddress("0.0.0.0:9464", true)
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:9464", got)
}

// get fetches a page of an exporter.
func get(t *testing.T, url string) (code int, body string) {
	c := http.Client{Timeout: 20 * time.Second}
	r, err := c.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(b)
}

func TestExporter(t *testing.T) {
	s := &wire.Stats{At: 20e9, Began: 10e9, Checkpoints: 3, StretchedNanos: 1_500_000_000, Epoch: 7, DurableAt: 19e9}
	for _, v := range []uint64{900, 5_000, 2_000_000} {
		s.Flip.Record(v)
	}
	numbers := monitor.Numbers{}
	e, err := listenMetrics("0", false)
	require.NoError(t, err)
	defer e.close()
	rec := instance.Record{Name: "p\xff\"\n", ID: [16]byte{0xab}}
	e.serve(rec, monitor.Process, func() monitor.Numbers { return numbers })
	code, body := get(t, e.url)
	require.Equal(t, 200, code)
	require.Contains(t, body, "phantom_info{", "before the machine begins")
	require.NotContains(t, body, "phantom_epoch")
	numbers = monitor.Numbers{All: s, Recent: s, Start: 30 * time.Millisecond}
	_, body = get(t, e.url)
	for _, line := range []string{
		`phantom_info{instance_id="ab000000000000000000000000000000",monitor="process",program="p?\"\n"} 1`,
		"phantom_epoch 7", "phantom_root_age_seconds 1", "phantom_checkpoints_total 3", "phantom_stretched_seconds_total 1.5",
		"phantom_start_to_first_instruction_seconds 0.03",
		`phantom_flip_seconds_bucket{le="1.023e-06"} 1`, `phantom_flip_seconds_bucket{le="8.191e-06"} 2`, `phantom_flip_seconds_bucket{le="0.002097151"} 3`,
		`phantom_flip_seconds_bucket{le="+Inf"} 3`, "phantom_flip_seconds_count 3", "phantom_flip_seconds_sum 0.0020059",
	} {
		require.Contains(t, body, line+"\n")
	}
	code, _ = get(t, strings.TrimSuffix(e.url, "metrics"))
	require.Equal(t, 200, code)
	code, _ = get(t, e.url+"/nothing")
	require.Equal(t, 404, code)
	problems, err := testutil.CollectAndLint(newCollector(rec, monitor.KVM, func() monitor.Numbers { return numbers }))
	require.NoError(t, err)
	require.Empty(t, problems)
	// Somebody who talks nonsense is no trouble for others.
	c, err := net.Dial("tcp", e.listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("\x16\x03\x01 nonsense\r\n\r\n"))
	require.NoError(t, err)
	_, body = get(t, e.url)
	require.Contains(t, body, "phantom_epoch 7\n")
}

// TestMetricsAreDocumented compares what the exporter, and status --json, say with docs/metrics.md, both ways.
func TestMetricsAreDocumented(t *testing.T) {
	doc := readFile(t, filepath.Join(repoRoot(t), "docs", "metrics.md"))
	inDoc := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z][a-z0-9_]+)`").FindAllStringSubmatch(doc, -1) {
		inDoc[m[1]] = true
	}
	s := &wire.Stats{At: 2, Began: 1}
	known := map[string]bool{}
	n := monitor.Numbers{All: s, Recent: s, Start: 1}
	e, err := listenMetrics("0", false)
	require.NoError(t, err)
	defer e.close()
	e.serve(instance.Record{}, monitor.Process, func() monitor.Numbers { return n })
	_, body := get(t, e.url)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllStringSubmatch(body, -1) {
		known[m[1]] = true
		require.True(t, inDoc[m[1]], "docs/metrics.md does not explain %s", m[1])
	}
	b, err := json.Marshal(statusReport{PID: 1, Checkpoints: 1, DirtyPages: 1, Goroutines: 1, MetricsURL: "u", liveNumbers: newLiveNumbers(s, 1, 1)})
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, json.Unmarshal(b, &keys))
	for k := range keys {
		known[k] = true
		require.True(t, inDoc[k], "docs/metrics.md does not explain %s", k)
	}
	for name := range inDoc {
		if strings.Contains(name, "_") {
			require.True(t, known[name], "docs/metrics.md explains %s, which does not exist", name)
		}
	}
}

// worker dirties pages, prints now and then, sleeps a little, and calls phantom.Sync.
const worker = `import ("fmt"; "time"; "phantomvm/phantom")
var pages [200][4096]byte
func main() {
	for i := 0; ; i++ {
		for k := range 50 { pages[(i+3*k)%200][i&4095]++ }
		if i%100 == 0 { fmt.Println("round", i); phantom.Sync() }
		time.Sleep(time.Millisecond)
	}
}`

// wantedKeys is what status --json of a running instance has at least, none of them null.
var wantedKeys = strings.Fields(`checkpoints_per_second pages_per_checkpoint flip_us_p50 flip_us_p99 slice_us_p50 slice_us_p99 commit_ms_p50
	commit_ms_p99 durable_age_ms_p99 write_amplification arena_pages resident_pages start_to_first_instruction_ms epoch durable_at`)

func statusJSON(t *testing.T, args ...string) map[string]any {
	r := vm(t, append([]string{"status", "--json"}, args...)...)
	require.Zero(t, r.code, r.stderr)
	var s map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &s))
	return s
}

func TestLiveNumbers(t *testing.T) {
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "i.phantom")
			r := vm(t, "run", "--detach", "--monitor", mon, "--metrics", "0", "--dir", dir, module(t, program0(t, worker)))
			require.Zero(t, r.code, r.stderr)
			defer vm(t, "stop", dir)
			var s map[string]any
			eventually(t, "some calls of Sync", func() bool {
				s = statusJSON(t, "--whole", dir)
				n, _ := s["syncs"].(float64)
				return n >= 3
			})
			for _, k := range wantedKeys {
				require.NotNil(t, s[k], "%s is missing", k)
			}
			require.Equal(t, "running", s["state"])
			require.Greater(t, s["checkpoints_per_second"], 0.0)
			require.GreaterOrEqual(t, s["pages_per_checkpoint"], 10.0)
			require.Greater(t, s["write_amplification"], 1.0)
			require.GreaterOrEqual(t, s["commit_ms_p99"], s["commit_ms_p50"])
			require.GreaterOrEqual(t, s["durable_age_ms_p99"], s["commit_ms_p50"])
			require.GreaterOrEqual(t, s["arena_pages"], 200.0)
			require.Greater(t, s["resident_pages"], 100.0)
			require.Greater(t, s["start_to_first_instruction_ms"], 0.0)
			require.Greater(t, s["output_bytes"], 0.0)
			require.LessOrEqual(t, s["window_seconds"], s["uptime_seconds"])

			url, ok := s["metrics_url"].(string)
			require.True(t, ok)
			code, body := get(t, url)
			require.Equal(t, 200, code)
			m := regexp.MustCompile(`(?m)^phantom_epoch (\S+)$`).FindStringSubmatch(body)
			require.NotNil(t, m, body)
			epoch, err := strconv.ParseFloat(m[1], 64)
			require.NoError(t, err)
			require.GreaterOrEqual(t, epoch, s["epoch"])
			require.Contains(t, body, `monitor="`+mon+`"`)

			text := vm(t, "status", dir).stdout
			require.Contains(t, text, "checkpoints ")
			require.Contains(t, text, "write amplification")
			require.Zero(t, vm(t, "stop", dir).code)
			dead := statusJSON(t, dir)
			require.Equal(t, "stopped", dead["state"])
			require.GreaterOrEqual(t, dead["arena_pages"], 200.0)
			for _, k := range []string{"checkpoints_per_second", "flip_us_p50", "resident_pages", "start_to_first_instruction_ms", "metrics_url", "pid"} {
				require.NotContains(t, dead, k, "nobody knows it now")
			}
			_, err = http.Get(url) //nolint:bodyclose // there is none
			require.Error(t, err)
		})
	}
}

// TestMetricsRefused: an address that can't be taken is said before anything is made.
func TestMetricsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	mod := module(t, "./examples/life")
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"in use":             {[]string{"--metrics", l.Addr().String()}, "address already in use", exitUnavailable},
		"in use, detached":   {[]string{"--detach", "--metrics", l.Addr().String()}, "address already in use", exitUnavailable},
		"everybody":          {[]string{"--metrics", "0.0.0.0:0"}, "other machines could read", exitUsage},
		"another machine's":  {[]string{"--metrics-public", "--metrics", "192.0.2.1:80"}, "cannot assign", exitUnavailable},
		"garbage":            {[]string{"--metrics", "garbage"}, "HOST:PORT", exitUsage},
		"public without one": {[]string{"--metrics-public"}, "needs --metrics", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "i.phantom")
			r := vm(t, append(append([]string{"run", "--dir", dir}, c.args...), mod)...)
			require.Equal(t, c.code, r.code, r.stderr)
			require.Contains(t, r.stderr, c.want)
			_, err := os.Stat(dir)
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}
