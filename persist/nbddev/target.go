package nbddev

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// DefaultPort is the port of nbd:// without one (IANA).
const DefaultPort = "10809"

// maxName is the longest name of an export that the protocol allows, in bytes.
const maxName = 4096

// Target says where an export is.
type Target struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or the absolute path of a socket
	Export  string // name, may be empty: the server's default export
}

// IsTarget tells whether text is meant to be a Target, well formed or not.
func IsTarget(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && strings.HasPrefix(strings.ToLower(scheme), "nbd")
}

// ParseTarget reads nbd://host[:port]/export and nbd+unix:///export?socket=PATH
// (the NBD project's doc/uri.md). A relative path of a socket is made absolute.
func ParseTarget(text string) (Target, error) {
	bad := func(format string, args ...any) (Target, error) {
		return Target{}, fmt.Errorf("%w: %q: %s", ErrTarget, text, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("not a URI")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("bad query")
	}
	socket := q.Get("socket")
	q.Del("socket")
	t := Target{Export: strings.TrimPrefix(u.Path, "/")}
	switch {
	case len(q) > 0 || u.Fragment != "" || u.Opaque != "":
		return bad("only ?socket= may follow the export's name")
	case u.User != nil:
		return bad("NBD has no users")
	case !utf8.ValidString(t.Export) || len(t.Export) > maxName || strings.ContainsRune(t.Export, 0):
		return bad("the export's name must be UTF-8 of at most %d bytes", maxName)
	}
	switch u.Scheme {
	case "nbd":
		if u.Hostname() == "" || socket != "" {
			return bad("want nbd://host[:port]/export")
		}
		port := u.Port()
		if port == "" {
			port = DefaultPort
		}
		t.Network, t.Address = "tcp", net.JoinHostPort(u.Hostname(), port)
	case "nbd+unix":
		if socket == "" || u.Host != "" || strings.ContainsRune(socket, 0) {
			return bad("want nbd+unix:///export?socket=PATH")
		}
		if socket, err = filepath.Abs(socket); err != nil {
			return bad("%v", err)
		}
		t.Network, t.Address = "unix", socket
	case "nbds", "nbds+unix":
		return bad("TLS is not supported; use a tunnel or a private network")
	default:
		return bad("want nbd:// or nbd+unix://")
	}
	return t, nil
}

// String gives a URI that ParseTarget reads as the same target.
func (t Target) String() string {
	u := url.URL{Scheme: "nbd", Host: t.Address, Path: "/" + t.Export}
	if t.Network == "unix" {
		u = url.URL{Scheme: "nbd+unix", Path: "/" + t.Export, RawQuery: url.Values{"socket": {t.Address}}.Encode()}
		return u.Scheme + "://" + u.EscapedPath() + "?" + u.RawQuery
	}
	return u.String()
}
