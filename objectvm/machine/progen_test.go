package machine

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// randomProgram returns the source of a program that ends, and whose output depends on nothing but itself: random
// functions over a heap of trees, lists, maps and slices, goroutines in pipelines and in groups, recovered and
// uncaught panics, both output streams. steps is about how many calls and loop iterations it takes.
func randomProgram(rng *rand.Rand, steps int) string {
	g := &progen{Rand: rng}
	funcs := 3 + rng.IntN(4)
	for i := range funcs {
		g.function(i)
	}
	stages := 1 + rng.IntN(4)
	actions := g.actions(3+rng.IntN(6), stages)
	rounds := max(20, steps/(g.cost+1))
	var b strings.Builder
	b.WriteString(progenHead)
	b.WriteString(g.text.String())
	fmt.Fprintf(&b, "func stage(k int, in <-chan *item, out chan<- *item) {\n\tfor it := range in {\n\t\tit.n, it.text = %s, it.text+itoa(k)\n\t\tout <- it\n\t}\n\tclose(out)\n}\n\n",
		g.call(funcs-1, "it.n", "k"))
	fmt.Fprintf(&b, "func main() {\n\tvar pipe [%d]chan *item\n\tfor i := range pipe {\n\t\tpipe[i] = make(chan *item, %d)\n\t}\n", stages+1, rng.IntN(3))
	fmt.Fprintf(&b, "\tfor i := range %d {\n\t\tgo stage(i, pipe[i], pipe[i+1])\n\t}\n\tx := %d\n", stages, rng.IntN(1000))
	fmt.Fprintf(&b, "\tfor round := range %d {\n%s", rounds, actions)
	fmt.Fprintf(&b, "\t\tif round%%%d == 0 {\n\t\t\tsay(\"round\", round, x)\n\t\t}\n", 1+rng.IntN(8))
	fmt.Fprintf(&b, "\t\tif round%%%d == 0 {\n\t\t\tprintln(round, x, total())\n\t\t}\n\t}\n", 2+rng.IntN(20))
	b.WriteString("\tclose(pipe[0])\n\tfor range pipe[len(pipe)-1] {\n\t}\n\tsay(\"end\", x, total())\n")
	switch rng.IntN(4) {
	case 0:
		fmt.Fprintf(&b, "\tsyscall.Exit(%d)\n", 1+rng.IntN(100))
	case 1:
		b.WriteString("\tvar gone *node\n\tx = gone.val\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// progenHead is what every program has.
const progenHead = `package main

import "syscall"

type node struct {
	key, val    int
	left, right *node
}

type item struct {
	n    int
	text string
	next *item
}

type shape interface{ area() int }

type square struct{ side int }

type box struct {
	w, h int
	tags []string
}

func (s square) area() int { return s.side * s.side }
func (b *box) area() int   { return b.w*b.h + len(b.tags) }

var (
	numbers = map[int]int{}
	names   = map[string]*item{}
	tree    *node
	list    *item
	shapes  [16]shape
	rows    [][]int
	adders  []func(int) int
)

func itoa(n int) string {
	switch {
	case n < 0:
		return "-" + itoa(-(n + 1))
	case n < 10:
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func say(what string, a, b int) {
	syscall.Write(1, []byte(what+" "+itoa(a)+" "+itoa(b)+"\n"))
}

func insert(t *node, key, val int) *node {
	if t == nil {
		return &node{key: key, val: val}
	}
	switch {
	case key < t.key:
		t.left = insert(t.left, key, val)
	case key > t.key:
		t.right = insert(t.right, key, val)
	default:
		t.val += val
	}
	return t
}

func (t *node) sum() int {
	if t == nil {
		return 0
	}
	return t.left.sum()*3 + t.val + t.right.sum()
}

func push(n, keep int) {
	list = &item{n: n, text: itoa(n), next: list}
	last := list
	for range keep {
		if last.next == nil {
			return
		}
		last = last.next
	}
	last.next = nil
}

func recovered(a int) (r int) {
	defer func() {
		if e := recover(); e != nil {
			r += a%7 + 1
		}
	}()
	for i := range a%9 + 2 {
		r += rows[i][a%4]
	}
	return r + shapes[a%16].area()
}

// total is a number that depends on all of the heap.
func total() int {
	s := tree.sum()
	for k, v := range numbers {
		s += k ^ v
	}
	for k, it := range names {
		s += len(k) * it.n
	}
	for p := list; p != nil; p = p.next {
		s = s*5 + p.n + len(p.text)
	}
	for _, r := range rows {
		for _, v := range r {
			s = s*3 + v
		}
	}
	for _, f := range adders {
		s += f(s % 10)
	}
	for _, sh := range shapes {
		if sh != nil {
			s ^= sh.area()
		}
	}
	return s
}

`

// progen writes functions f0, f1, ... that call only functions before them.
type progen struct {
	*rand.Rand
	text  strings.Builder
	costs []int // of a call
	cost  int   // of what is being written
	depth int
}

func (g *progen) call(f int, args ...string) string {
	return fmt.Sprintf("f%d(%s)", f, strings.Join(args, ", "))
}

// expr is an expression of the named variables that can't panic.
func (g *progen) expr(vars []string, depth int) string {
	if depth == 0 || g.IntN(4) == 0 {
		if g.IntN(3) == 0 {
			return fmt.Sprint(g.IntN(1000))
		}
		return vars[g.IntN(len(vars))]
	}
	x, y := g.expr(vars, depth-1), g.expr(vars, depth-1)
	switch g.IntN(8) {
	case 0:
		return fmt.Sprintf("(%s / (%s&31 + 1))", x, y)
	case 1:
		return fmt.Sprintf("(%s %% (%s&63 + 1))", x, y)
	case 2:
		return fmt.Sprintf("(%s >> (uint(%s+%s) & 7))", x, vars[0], y) // not a constant, which may not be negative
	case 3:
		return fmt.Sprintf("numbers[%s&63]", x)
	default:
		return fmt.Sprintf("(%s %s %s)", x, []string{"+", "-", "*", "^", "&", "|"}[g.IntN(6)], y)
	}
}

// pick is an expression from 0 to n-1.
func (g *progen) pick(vars []string, n int) string {
	return fmt.Sprintf("(%s)&%d", g.expr(vars, 2), n-1)
}

func (g *progen) function(i int) {
	g.cost, g.depth = 1, 1
	fmt.Fprintf(&g.text, "func f%d(a, b int) int {\n\tr := %s\n", i, g.expr([]string{"a", "b"}, 2))
	g.block([]string{"a", "b", "r"}, i, 1, 2+g.IntN(3))
	fmt.Fprintf(&g.text, "\treturn r & 0xffffff\n}\n\n")
	g.costs = append(g.costs, g.cost)
}

// block writes n statements, each executed times times.
func (g *progen) block(vars []string, f, times, n int) {
	for range n {
		tab := strings.Repeat("\t", g.depth)
		say := func(format string, args ...any) { fmt.Fprintf(&g.text, tab+format+"\n", args...) }
		switch k := g.IntN(6); {
		case k == 0 && g.depth < 3:
			count := 2 + g.IntN(5)
			v := fmt.Sprintf("i%d", g.depth)
			say("for %s := range %d {", v, count)
			g.cost += times * count
			g.depth++
			g.block(append(vars[:len(vars):len(vars)], v), f, times*count, 1+g.IntN(2))
			g.depth--
			say("\tr += %s\n%s}", v, tab)
		case k == 1 && g.depth < 3:
			say("if %s < %s {", g.expr(vars, 1), g.expr(vars, 1))
			g.depth++
			g.block(vars, f, times, 1)
			g.depth--
			say("}")
		case k == 2 && f > 0:
			if c := g.IntN(f); times*g.costs[c] < 200 {
				g.cost += times * (1 + g.costs[c])
				say("r ^= %s", g.call(c, g.expr(vars, 1), g.expr(vars, 1)))
				continue
			}
			fallthrough
		case k == 3:
			say("numbers[%s] = %s & 0xfffff", g.pick(vars, 64), g.expr(vars, 2))
		default:
			say("r = (%s) & 0xfffffff", g.expr(vars, 3))
		}
	}
}

// actions are what a round does; their cost is left in g.cost.
func (g *progen) actions(n, stages int) string {
	var b strings.Builder
	cost := 20
	vars := []string{"x", "round"}
	fn := func() string {
		c := g.IntN(len(g.costs))
		cost += g.costs[c]
		return g.call(c, g.expr(vars, 1), g.expr(vars, 1))
	}
	last := g.costs[len(g.costs)-1]
	for range n {
		switch g.IntN(12) {
		case 0:
			fmt.Fprintf(&b, "\t\ttree = insert(tree, %s, x)\n", g.pick(vars, 64))
			cost += 8
		case 1:
			fmt.Fprintf(&b, "\t\tpush(x&4095, %d)\n", 2+g.IntN(60))
			cost += 40
		case 2:
			fmt.Fprintf(&b, "\t\tnames[itoa(%s)] = &item{n: x & 255}\n", g.pick(vars, 128))
		case 3:
			fmt.Fprintf(&b, "\t\tdelete(names, itoa(%s))\n\t\tdelete(numbers, %s)\n", g.pick(vars, 128), g.pick(vars, 64))
		case 4:
			fmt.Fprintf(&b, "\t\trows = append(rows, make([]int, %d))\n\t\trows[len(rows)-1][%d] = x & 1023\n\t\tif len(rows) > %d {\n\t\t\trows = rows[%d:]\n\t\t}\n",
				4+g.IntN(300), g.IntN(4), 4+g.IntN(20), 1+g.IntN(4))
		case 5:
			fmt.Fprintf(&b, "\t\tshapes[%s] = square{x & 31}\n", g.pick(vars, 16))
		case 6:
			fmt.Fprintf(&b, "\t\tshapes[%s] = &box{x & 15, round, []string{itoa(x & 511), \"tag\"}}\n", g.pick(vars, 16))
		case 7:
			fmt.Fprintf(&b, "\t\tx += recovered(round)\n")
			cost += 10
		case 8: // a group of goroutines, each with its own result
			k := 2 + g.IntN(4)
			fmt.Fprintf(&b, "\t\tif round%%%d == 0 {\n\t\t\tdone, res := make(chan int), [%d]int{}\n\t\t\tfor i := range res {\n\t\t\t\tgo func() {\n\t\t\t\t\tres[i] = i * x\n\t\t\t\t\tfor k := range %d {\n\t\t\t\t\t\tres[i] += k ^ x\n\t\t\t\t\t}\n\t\t\t\t\tdone <- i\n\t\t\t\t}()\n\t\t\t}\n\t\t\tfor range res {\n\t\t\t\t<-done\n\t\t\t}\n\t\t\tfor _, v := range res {\n\t\t\t\tx ^= v\n\t\t\t}\n\t\t\tx &= 0xffffff\n\t\t}\n",
				1+g.IntN(5), k, 5+g.IntN(40))
			cost += k * 30
		case 9: // through the pipeline
			b.WriteString("\t\tpipe[0] <- &item{n: x & 1023}\n\t\tif it := <-pipe[len(pipe)-1]; it != nil {\n\t\t\tx = (x + it.n + len(it.text)) & 0xffffff\n\t\t}\n")
			cost += stages * (last + 3)
		case 10:
			fmt.Fprintf(&b, "\t\tif k := x & 15; len(adders) < 40 {\n\t\t\tadders = append(adders, func(n int) int { k += n; return k })\n\t\t} else {\n\t\t\tadders = adders[:0]\n\t\t}\n")
		default:
			fmt.Fprintf(&b, "\t\tx = (x ^ %s) & 0xffffff\n", fn())
		}
	}
	fmt.Fprintf(&b, "\t\tx = (x + %s) & 0xffffff\n", fn())
	g.cost = cost
	return b.String()
}
