package load

import (
	"go/types"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/ssa"
)

// libraryPackages must compile with every function that they reach.
var libraryPackages = strings.Fields(`errors fmt math math/bits math/cmplx sort slices maps strings strconv
	unicode unicode/utf8 unicode/utf16 bytes bufio io os sync sync/atomic time container/heap container/list
	container/ring math/rand math/rand/v2 context iter cmp reflect regexp text/tabwriter encoding/json
	encoding/binary encoding/hex encoding/base64 encoding/gob encoding/xml encoding/pem text/template math/big hash/crc32 hash/fnv hash/maphash
	crypto/sha256 crypto/sha512 crypto/md5 crypto/hmac crypto/aes crypto/ed25519 compress/gzip archive/zip
	image/png go/format log/slog os/signal net/url net/netip html/template unique weak runtime/debug path strings io/fs log flag html encoding/csv`)

// nativesInDocs reads the names and slot counts that docs/natives.md promises.
func nativesInDocs(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/natives.md")
	require.NoError(t, err)
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([\w./]+)\([^|]*\| (\d+ -> \d+)`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = m[2]
	}
	require.NotEmpty(t, found)
	return found
}

// reachable returns the functions that can run if the roots run: everything
// that is named, and every method of a type that is put into an interface.
func reachable(p *Program, roots []*ssa.Function) map[*ssa.Function]bool {
	seen := map[*ssa.Function]bool{}
	boxed := map[types.Type]bool{}
	var work []*ssa.Function
	add := func(f *ssa.Function) {
		if f != nil && !seen[f] {
			seen[f] = true
			work = append(work, f)
		}
	}
	for _, f := range roots {
		add(f)
	}
	for len(work) > 0 {
		f := work[len(work)-1]
		work = work[:len(work)-1]
		if f.Blocks == nil {
			add(p.Link(f))
			continue
		}
		for _, b := range f.Blocks {
			for _, in := range b.Instrs {
				for _, op := range in.Operands(nil) {
					if g, ok := (*op).(*ssa.Function); ok {
						add(g)
					}
				}
				if mi, ok := in.(*ssa.MakeInterface); ok && !boxed[mi.X.Type()] {
					boxed[mi.X.Type()] = true
					set := p.SSA.MethodSets.MethodSet(mi.X.Type())
					for i := range set.Len() {
						add(p.SSA.MethodValue(set.At(i)))
					}
				}
			}
		}
	}
	return seen
}

// exportedOf returns every exported function and method of a package: what its users can reach.
func exportedOf(p *Program, pkg *Package) []*ssa.Function {
	var list []*ssa.Function
	for _, m := range pkg.SSA.Members {
		switch m := m.(type) {
		case *ssa.Function:
			if (m.Object() != nil && m.Object().Exported() || m.Name() == "init") && m.TypeParams().Len() == 0 {
				list = append(list, m)
			}
		case *ssa.Type:
			named, ok := m.Type().(*types.Named)
			if !ok || !m.Object().Exported() || types.IsInterface(named) || named.TypeParams().Len() > 0 {
				continue
			}
			set := p.SSA.MethodSets.MethodSet(types.NewPointer(named))
			for i := range set.Len() {
				if set.At(i).Obj().Exported() {
					list = append(list, p.SSA.MethodValue(set.At(i)))
				}
			}
		}
	}
	return list
}

func TestLibraryIsResolved(t *testing.T) {
	var src strings.Builder
	src.WriteString("package main\n\nimport (\n")
	for _, path := range slices.Compact(slices.Sorted(slices.Values(libraryPackages))) {
		src.WriteString("\t_ \"" + path + "\"\n")
	}
	src.WriteString(")\n\nfunc main() {}\n")
	dir := writeModule(t, map[string]string{"go.mod": "module example.com/all\n\ngo 1.26\n", "main.go": src.String()})
	p, err := Load(Config{Args: []string{"."}, Dir: dir})
	require.NoError(t, err)
	natives := nativesInDocs(t)
	for _, path := range libraryPackages {
		t.Run(path, func(t *testing.T) {
			pkg := p.Package(path)
			require.NotNil(t, pkg)
			for f := range reachable(p, exportedOf(p, pkg)) {
				if p.Link(f) != nil {
					continue
				}
				require.Contains(t, natives, p.Symbol(f), "%s has no body", f)
				require.Equal(t, natives[p.Symbol(f)], slotsOf(p, f.Signature), "slots of %s", f)
			}
		})
	}
}

// TestRuntimeIsResolved looks at what the machine itself calls.
func TestRuntimeIsResolved(t *testing.T) {
	p := loadText(t, "package main\n\nfunc main() {}\n")
	natives := nativesInDocs(t)
	var roots []*ssa.Function
	for _, name := range []string{"vmTrap", "vmFatalPanic", "vmTimer"} {
		f := p.Runtime.SSA.Func(name)
		require.NotNil(t, f, name)
		roots = append(roots, f)
	}
	for f := range reachable(p, append(roots, exportedOf(p, p.Runtime)...)) {
		if p.Link(f) == nil {
			require.Contains(t, natives, p.Symbol(f))
		}
	}
}

// slotsOf counts a signature's slots as docs/abi.md does.
func slotsOf(p *Program, sig *types.Signature) string {
	count := func(t *types.Tuple) (n int64) {
		for v := range t.Variables() {
			n += (p.Sizes.Sizeof(v.Type()) + 7) / 8
		}
		return n
	}
	return itoa(count(sig.Params())) + " -> " + itoa(count(sig.Results()))
}

func itoa(n int64) string { return string(rune('0' + n)) }

func loadText(t *testing.T, text string) *Program {
	t.Helper()
	dir := writeModule(t, map[string]string{"go.mod": "module example.com/text\n\ngo 1.26\n", "main.go": text})
	p, err := Load(Config{Args: []string{"."}, Dir: dir})
	require.NoError(t, err)
	return p
}
