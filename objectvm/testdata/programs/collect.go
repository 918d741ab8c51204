package main

type Tree struct{ l, r *Tree }

func build(n int) *Tree {
	if n == 0 {
		return &Tree{}
	}
	return &Tree{build(n - 1), build(n - 1)}
}
func (t *Tree) count() int {
	if t.l == nil {
		return 1
	}
	return 1 + t.l.count() + t.r.count()
}

type node struct {
	next *node
	val  string
	arr  []int
}

func main() {
	keep := build(8)
	for i := 0; i < 3; i++ {
		t := build(9)
		if t.count() != 1023 {
			println("bad", t.count())
		}
	}
	println(keep.count())
	var head *node
	for i := 0; i < 1500; i++ {
		head = &node{head, string(rune('a' + i%26)), make([]int, i%50)}
		if i%7 == 0 {
			head = head.next
		}
	}
	n, s := 0, 0
	for p := head; p != nil; p = p.next {
		n++
		s += len(p.arr) + int(p.val[0])
	}
	println(n, s)
	m := map[int]*node{}
	for i := 0; i < 800; i++ {
		m[i*7] = &node{val: "x"}
		delete(m, i*3)
	}
	println(len(m))
	big := make([][]byte, 0)
	for i := 0; i < 100; i++ {
		b := make([]byte, 100000)
		b[i] = byte(i)
		if i%10 == 0 {
			big = append(big, b)
		}
	}
	for i, b := range big {
		if b[i*10] != byte(i*10) {
			println("bad big")
		}
	}
	println(len(big))
}
