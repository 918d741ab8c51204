package load

import "testing"

// BenchmarkLoadHello is the time until a small program that prints is ready for the compiler.
func BenchmarkLoadHello(b *testing.B) {
	dir := b.TempDir()
	writeFiles(b, dir, map[string]string{
		"go.mod":  "module example.com/hello\n\ngo 1.26\n",
		"main.go": "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n",
	})
	for b.Loop() {
		if _, err := Load(Config{Args: []string{"."}, Dir: dir}); err != nil {
			b.Fatal(err)
		}
	}
}
