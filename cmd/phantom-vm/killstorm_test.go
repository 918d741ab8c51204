package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist/filedev"
)

// storm is one example under fire.
type storm struct {
	name  string
	input string // standard input, "" for none
	kills int    // wanted in `make test`, for each monitor
	code  int    // the program's exit code
}

var storms = []storm{
	{name: "counter", kills: 10},
	{name: "ledger", kills: 8},
	{name: "wordfreq", input: text(), kills: 10},
	{name: "life", kills: 8},
	{name: "pipeline", kills: 8},
	{name: "panics", kills: 8, code: 2},
}

// TestKillStorm kills every example with -9 at random moments, under every monitor, and resumes it until it is
// done. A kill counts only after a new durable epoch of that incarnation and before the program's end. In the
// end console.log is what an ordinary Go build prints.
func TestKillStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("kills take a while; not with -short")
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed %d; again: PHANTOM_SEED=%d go test -run TestKillStorm ./cmd/phantom-vm", seed, seed)
	rounds := 1
	if os.Getenv("PHANTOM_SOAK") != "" {
		rounds = 20
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	total := 0
	for _, mon := range monitors(t) {
		for _, s := range storms {
			t.Run(mon+"/"+s.name, func(t *testing.T) {
				want := goRun(t, "./examples/"+s.name, s.input)
				require.Equal(t, s.code, want.code)
				lives, kills := 0, 0
				for ; kills < s.kills*rounds; lives++ {
					if lives > 20+s.kills*rounds {
						t.Fatalf("only %d kills in %d lives: the program ends too soon", kills, lives)
					}
					n := s.once(t, mon, want, rnd, s.kills*rounds-kills)
					kills += n
					total += n
				}
				t.Logf("%d kills in %d lives", kills, lives)
			})
		}
	}
	t.Logf("%d kills", total)
}

// once lives one life and returns how many kills it survived, at most limit.
func (s storm) once(t *testing.T, mon string, want result, rnd *rand.Rand, limit int) int {
	tmp := t.TempDir()
	dir := filepath.Join(tmp, "i.phantom")
	args := []string{"run", "--quiet", "--checkpoint", "2ms", "--monitor", mon, "--dir", dir}
	first := args
	if s.input != "" {
		in := filepath.Join(tmp, "in")
		require.NoError(t, os.WriteFile(in, []byte(s.input), 0o600))
		first = append(first[:len(first):len(first)], "--input", in)
	}
	mod := module(t, "./examples/"+s.name)
	kills := 0
	for life := 0; life < 10000; life++ {
		argv := append(args[:len(args):len(args)], mod)
		if life == 0 {
			argv = append(first[:len(first):len(first)], mod)
		}
		cmd := exec.Command(command(t), argv...)
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		if kills < limit && killAfterEpoch(t, cmd, done, dir, rnd) {
			if st, ok := peek(filepath.Join(dir, "disk.img")); ok && st.State == wire.Stopped {
				kills++
			}
			continue
		}
		<-done
		code := cmd.ProcessState.ExitCode()
		require.Equal(t, want.code, code, "exit code after %d kills; stderr.log:\n%s", kills, readFile(t, filepath.Join(dir, "stderr.log")))
		require.Equal(t, want.stdout, readFile(t, filepath.Join(dir, "console.log")), "console.log after %d kills", kills)
		return kills
	}
	t.Fatal("the program never ends")
	return 0
}

// killAfterEpoch waits until the command's incarnation has a durable epoch of its own and then, at a random moment,
// kills it. It returns false if the command ended before; done then still holds the result.
func killAfterEpoch(t *testing.T, cmd *exec.Cmd, done chan error, dir string, rnd *rand.Rand) bool {
	before := uint64(0)
	image := filepath.Join(dir, "disk.img")
	if st, ok := peek(image); ok {
		before = st.Incarnation
	}
	for {
		st, ok := peek(image)
		if ok && st.Incarnation > before {
			break
		}
		select {
		case err := <-done:
			done <- err
			return false
		case <-time.After(4 * time.Millisecond):
		}
	}
	time.Sleep(time.Duration(rnd.Int64N(int64(40 * time.Millisecond))))
	select {
	case err := <-done:
		done <- err
		return false
	default:
	}
	if err := cmd.Process.Kill(); errors.Is(err, os.ErrProcessDone) {
		return false // it ended at this very moment
	} else {
		require.NoError(t, err)
	}
	<-done
	return true
}

// peek reads the newest durable state of an image that may be in use. It may see a half-written one: not ok.
func peek(image string) (wire.Status, bool) {
	dev, err := filedev.OpenReadOnly(image)
	if err != nil {
		return wire.Status{}, false
	}
	defer dev.Close()
	st, err := machine.Inspect(dev)
	return st, err == nil
}

// text is some MB of real text: the documents and sources of the Go distribution.
func text() string {
	root := strings.TrimSpace(os.Getenv("GOROOT"))
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		root = strings.TrimSpace(string(out))
	}
	var b strings.Builder
	for _, pattern := range []string{"doc/*.html", "src/go/*/*.go", "src/net/http/*.go", "src/cmd/go/*.go"} {
		files, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, f := range files {
			if data, err := os.ReadFile(f); err == nil {
				b.Write(data)
			}
		}
	}
	if b.Len() < 1<<20 {
		panic(fmt.Sprintf("only %d bytes of text below %s", b.Len(), root))
	}
	return b.String()[:min(b.Len(), 3<<20)]
}
