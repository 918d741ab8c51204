package result

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSaveReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.json")
	require.NoError(t, Save(path, []Group{{Name: "a", Seconds: 1}, {Name: "b"}}))
	require.NoError(t, Save(path, []Group{{Name: "a", Seconds: 2}}))
	all, err := Load(path)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, 2.0, all[0].Seconds)
	require.Equal(t, "b", all[1].Name)
}

func TestTables(t *testing.T) {
	g := Group{Name: "x", Title: "X"}
	table := Table{Title: "T", Columns: Cols("what", "time, ms:2", "n")}
	table.Add("one", 1.239, 7)
	table.Add("two", "none", 8)
	g.Tables = append(g.Tables, table)
	p := g.Plot("f", "F", "x", "y")
	p.Point("s", 1, 2)
	g.Plot("f", "F", "x", "y").Point("s", 2, 3)
	require.Equal(t, [][2]float64{{1, 2}, {2, 3}}, p.Series[0].Points)
	path := filepath.Join(t.TempDir(), "data.json")
	require.NoError(t, Save(path, []Group{g}))
	all, err := Load(path)
	require.NoError(t, err)
	var md, text bytes.Buffer
	all[0].Markdown(&md, "plots")
	require.Contains(t, md.String(), "| what | time, ms | n |\n|---|--:|--:|\n| one | 1.24 | 7 |\n| two | none | 8 |\n")
	require.Contains(t, md.String(), "![F](plots/f.svg)")
	all[0].Text(&text)
	require.Contains(t, text.String(), "one       1.24  7\n")
}

func TestQuantile(t *testing.T) {
	s := []float64{5, 1, 4, 2, 3}
	require.Equal(t, 3.0, Quantile(s, 0.5))
	require.Equal(t, 1.0, Quantile(s, 0))
	require.Equal(t, 5.0, Quantile(s, 0.99))
}
