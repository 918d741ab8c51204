// Wordfreq reads text from standard input and prints the 20 most frequent
// words. How far it has read is part of its state, like all else.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
)

func main() {
	counts := map[string]int{}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 64<<10), 1<<20)
	lines, words := 0, 0
	for in.Scan() {
		lines++
		notLetter := func(r rune) bool { return !unicode.IsLetter(r) }
		for _, w := range strings.FieldsFunc(strings.ToLower(in.Text()), notLetter) {
			counts[w]++
			words++
		}
		if lines%20000 == 0 {
			fmt.Println(lines, "lines,", words, "words,", len(counts), "different")
		}
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "wordfreq:", err)
		os.Exit(1)
	}

	order := make([]string, 0, len(counts))
	for w := range counts {
		order = append(order, w)
	}
	slices.SortFunc(order, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	for i, w := range order[:min(20, len(order))] {
		fmt.Printf("%2d  %-12s %7d\n", i+1, w, counts[w])
	}
	fmt.Println(lines, "lines,", words, "words,", len(order), "different")
}
