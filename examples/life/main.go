// Life plays Conway's game on a torus and prints the board after the last
// generation, and the population on the way there.
package main

import (
	"fmt"
	"strings"
)

const (
	width, height = 64, 32
	generations   = 600
)

type board [height][width]bool

// neighbours counts the living cells around (x, y).
func (b *board) neighbours(x, y int) int {
	n := 0
	for dy := -1; dy <= 1; dy++ {
		for dx := -1; dx <= 1; dx++ {
			if (dx != 0 || dy != 0) && b[(y+dy+height)%height][(x+dx+width)%width] {
				n++
			}
		}
	}
	return n
}

func (b *board) next() *board {
	var n board
	for y := range b {
		for x := range b[y] {
			c := b.neighbours(x, y)
			n[y][x] = c == 3 || c == 2 && b[y][x]
		}
	}
	return &n
}

func (b *board) population() (n int) {
	for y := range b {
		for x := range b[y] {
			if b[y][x] {
				n++
			}
		}
	}
	return n
}

func (b *board) String() string {
	var s strings.Builder
	for y := range b {
		for x := range b[y] {
			if b[y][x] {
				s.WriteByte('#')
			} else {
				s.WriteByte('.')
			}
		}
		s.WriteByte('\n')
	}
	return s.String()
}

func main() {
	b := new(board)
	for _, p := range [][2]int{{1, 0}, {2, 1}, {0, 2}, {1, 2}, {2, 2}} { // a glider
		b[p[1]][p[0]] = true
	}
	for i, c := range ".#.....|...#...|##..###" { // an acorn
		if c == '#' {
			b[15+i/8][30+i%8] = true
		}
	}
	for g := 1; g <= generations; g++ {
		b = b.next()
		if g%50 == 0 {
			fmt.Printf("generation %d: %d alive\n", g, b.population())
		}
	}
	fmt.Print(b)
}
