// The packages that most programs use, each a little.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/bits"
	"math/rand"
	randv2 "math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

type notFound struct{ name string }

func (e *notFound) Error() string { return "no " + e.name }
func (e *notFound) Is(t error) bool {
	return t == fs.ErrNotExist
}

func errorValues() {
	err := fmt.Errorf("outer: %w", &notFound{"key"})
	var nf *notFound
	fmt.Println(err, errors.As(err, &nf), nf.name, errors.Is(err, fs.ErrNotExist), errors.Unwrap(err) == error(nf))
	j := errors.Join(err, nil, io.EOF)
	fmt.Printf("%q %v %v\n", j, errors.Is(j, io.EOF), errors.Is(j, io.ErrUnexpectedEOF))
	two := fmt.Errorf("%w and %w", io.EOF, nf)
	fmt.Println(errors.Is(two, io.EOF), errors.Is(two, fs.ErrNotExist))
}

func formats() {
	type inner struct {
		A int
		B *int
	}
	type T struct {
		inner
		S  string
		M  map[string]int
		E  error
		F  func()
		Sl []any
	}
	v := T{inner{1, nil}, "s\n", map[string]int{"b": 2, "a": 1}, io.EOF, nil, []any{1, "x", nil, 2.5}}
	fmt.Printf("%v\n%+v\n%T\n", v, v, v)
	v.E = nil
	fmt.Printf("%#v\n", v)
	fmt.Printf("[%5d|%-5d|%05d|%+d|%x|%X|%#o|%b|%c|%U|%q]\n", 42, 42, 42, 42, 255, 255, 8, 5, 'é', 'é', 'x')
	fmt.Printf("[%8.3f|%-8.2e|%g|%G|%6.2f%%|%v]\n", math.Pi, 12345.678, 1e21, 1e-7, 99.5, float32(0.1))
	fmt.Printf("[%s|%10s|%-10s|%.2s|%q|%x|% x|%#q]\n", "go", "go", "go", "golang", "a\tb", "hi", "hi", "raw")
	fmt.Printf("%v %d %s %!|%z %d\n", []byte("ab"), []byte("ab"), []string{"x"}, 1, 2)
	fmt.Printf("%[2]d %[1]d %*d %.*f\n", 1, 2, 5, 3, 2, 1.0)
	fmt.Printf("%t %v %p %v\n", true, nil, nil, complex(1, -2))
	var a, b int
	var w string
	n, err := fmt.Sscanf("7 word 0x1f", "%d %s %v", &a, &w, &b)
	fmt.Println(n, err, a, w, b, fmt.Sprint("a", 1, 2, "b", "c", 3.0))
}

func numbers() {
	for _, x := range []float64{0, 1, -1.5, 1e300, 1e-300, math.Inf(1), math.NaN(), math.MaxFloat64, 0x1p-1022, 0.1} {
		fmt.Println(math.Sqrt(x), math.Floor(x), math.Sin(x), math.Exp(x), math.Log(math.Abs(x)), math.Pow(x, 3), math.Mod(x, 7), math.Round(x), math.Cbrt(x), math.Float64bits(x))
	}
	f, e := math.Frexp(10)
	i, fr := math.Modf(-3.25)
	fmt.Println(f, e, i, fr, math.Hypot(3, 4), math.Atan2(-1, -1), math.Gamma(5), math.Erf(0.5), math.Tanh(2), math.FMA(2, 3, 4))
	var x uint64 = 0x0123456789abcdef
	hi, lo := bits.Mul64(x, x)
	q, r := bits.Div64(1, x, x<<3)
	s, c := bits.Add64(math.MaxUint64, x, 1)
	fmt.Println(bits.LeadingZeros64(x), bits.TrailingZeros32(0), bits.OnesCount64(x), bits.Reverse64(x), bits.ReverseBytes64(x), bits.RotateLeft32(1, -1), bits.Len(0), hi, lo, q, r, s, c)
	for _, t := range []string{"12", "-0x1F", "1e400", "0b101", "", "99999999999999999999", "1_000", "0.1e-5", "inf", "0x1p-2"} {
		i, err := strconv.ParseInt(t, 0, 64)
		f, ferr := strconv.ParseFloat(t, 64)
		fmt.Println(i, err, f, ferr)
	}
	fmt.Println(strconv.Quote("é\x00\u2028\""), strconv.AppendInt(nil, -255, 16), strconv.FormatFloat(1.0/3, 'g', 5, 32), strconv.Itoa(-9))
	u, err := strconv.Unquote(`"a\tb\u00e9"`)
	fmt.Println(u, err)
}

type person struct {
	name string
	age  int
}

func collections() {
	ps := []person{{"Eve", 30}, {"Bob", 25}, {"Ann", 30}, {"Dan", 25}}
	sort.SliceStable(ps, func(i, j int) bool { return ps[i].age < ps[j].age })
	fmt.Println(ps)
	slices.SortFunc(ps, func(a, b person) int { return cmp.Or(-cmp.Compare(a.age, b.age), strings.Compare(a.name, b.name)) })
	fmt.Println(ps, slices.IndexFunc(ps, func(p person) bool { return p.name == "Bob" }))
	xs := []int{5, 2, 8, 2, 9, 1, 5}
	slices.Sort(xs)
	at, ok := slices.BinarySearch(xs, 8)
	fmt.Println(xs, at, ok, slices.Compact(slices.Clone(xs)), slices.Max(xs), slices.Contains(xs, 3), slices.Insert(xs, 1, 7, 7), sort.SearchInts(xs, 5))
	m := map[string]int{"one": 1, "two": 2, "three": 3}
	keys := slices.Sorted(maps.Keys(m))
	fmt.Println(keys, maps.Equal(m, maps.Clone(m)), slices.Collect(slices.Values(keys)), len(slices.Collect(slices.Chunk(xs, 3))))
	h := &queue{5, 3, 8}
	heap.Init(h)
	heap.Push(h, 1)
	for h.Len() > 0 {
		fmt.Print(heap.Pop(h), " ")
	}
	fmt.Println()
}

type queue []int

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i] < q[j] }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(int)) }
func (q *queue) Pop() any {
	n := len(*q) - 1
	x := (*q)[n]
	*q = (*q)[:n]
	return x
}

func texts() {
	s := "the quick brown föx"
	fmt.Println(strings.Fields(s), strings.Split("a,b,c", ","), strings.Title(s), strings.ToUpper(s), strings.Replace(s, "q", "Q", 1), strings.Count(s, "o"), strings.LastIndex(s, "o"), strings.TrimFunc("123abc456", func(r rune) bool { return r < 'a' }))
	fmt.Println(strings.NewReplacer("a", "1", "b", "2").Replace("abc"), strings.EqualFold("Straße", "STRASSE"), strings.Map(func(r rune) rune {
		if r == 'o' {
			return -1
		}
		return r + 1
	}, "foobar"), strings.Repeat("ab", 3), strings.ContainsAny(s, "xyz"))
	before, after, found := strings.Cut("k=v=w", "=")
	fmt.Println(before, after, found, utf8.RuneCountInString(s), utf8.ValidString("\xff"), utf8.AppendRune(nil, '世'))
	for i, r := range "a\xffé" {
		fmt.Print(i, ":", r, " ")
	}
	r, n := utf8.DecodeLastRuneInString(s)
	fmt.Println(string(r), n, bytes.Fields([]byte(" x  y ")), bytes.Equal([]byte("a"), []byte("a")), bytes.TrimSpace([]byte(" z ")))
	for part := range strings.SplitSeq("x-y-z", "-") {
		fmt.Print(part, ";")
	}
	fmt.Println()
}

func streams() {
	sc := bufio.NewScanner(strings.NewReader("one two\nthree\n\nlast"))
	for sc.Scan() {
		fmt.Printf("%q ", sc.Text())
	}
	sc = bufio.NewScanner(strings.NewReader("a bb ccc"))
	sc.Split(bufio.ScanWords)
	for sc.Scan() {
		fmt.Print(len(sc.Text()), " ")
	}
	var buf bytes.Buffer
	w := bufio.NewWriterSize(io.MultiWriter(&buf, io.Discard), 16)
	fmt.Fprintf(w, "%s-%d", strings.Repeat("z", 20), 7)
	w.Flush()
	r := bufio.NewReader(io.LimitReader(io.TeeReader(&buf, os.Stdout), 10))
	line, err := r.ReadString('-')
	fmt.Println(line, err)
	pr, pw := io.Pipe()
	go func() {
		fmt.Fprint(pw, "through the pipe")
		pw.CloseWithError(io.ErrUnexpectedEOF)
	}()
	all, err := io.ReadAll(pr)
	fmt.Println(string(all), err)
	sr := io.NewSectionReader(strings.NewReader("0123456789"), 2, 5)
	sr.Seek(-2, io.SeekEnd)
	rest, _ := io.ReadAll(sr)
	n, err := io.ReadFull(strings.NewReader("ab"), make([]byte, 4))
	fmt.Println(string(rest), n, err)
}

func concurrent() {
	var mu sync.RWMutex
	var wg sync.WaitGroup
	var total atomic.Int64
	var once sync.Once
	seen := map[int]bool{}
	for i := range 20 {
		wg.Go(func() {
			once.Do(func() { total.Add(1000) })
			total.Add(int64(i))
			mu.Lock()
			seen[i] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	mu.RLock()
	fmt.Println(total.Load(), len(seen))
	mu.RUnlock()
	var sm sync.Map
	sm.Store("k", 1)
	v, loaded := sm.LoadOrStore("k", 2)
	fmt.Println(v, loaded, total.CompareAndSwap(1190, 5), total.Swap(6))
	cond := sync.NewCond(&sync.Mutex{})
	ready := false
	go func() {
		cond.L.Lock()
		ready = true
		cond.L.Unlock()
		cond.Broadcast()
	}()
	cond.L.Lock()
	for !ready {
		cond.Wait()
	}
	cond.L.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	select {
	case <-ctx.Done():
		fmt.Println(ctx.Err(), context.Cause(ctx))
	case <-time.After(20 * time.Second):
		fmt.Println("late")
	}
}

func times() {
	t := time.Date(2024, time.February, 29, 13, 4, 5, 678e6, time.UTC)
	fmt.Println(t, t.Weekday(), t.YearDay(), t.Unix(), t.AddDate(1, 0, 0), t.Add(36*time.Hour).Format(time.RFC1123), t.Truncate(time.Hour))
	p, err := time.Parse("2006-01-02 15:04", "2023-12-31 23:59")
	fmt.Println(p, err, t.Sub(p), t.After(p), p.IsZero())
	_, err = time.Parse(time.RFC3339, "yesterday")
	d, derr := time.ParseDuration("1h15m30.918s")
	fmt.Println(err, d, derr, d.Round(time.Minute), time.Duration(1500)*time.Microsecond)
	z := t.In(time.FixedZone("X", 2*3600+1800))
	fmt.Println(z, z.Equal(t))
}

func randoms() {
	r := rand.New(rand.NewSource(42))
	fmt.Println(r.Intn(100), r.Float64(), r.Perm(6), r.NormFloat64(), r.Int63(), r.ExpFloat64())
	p := randv2.New(randv2.NewPCG(1, 2))
	c := randv2.New(randv2.NewChaCha8([32]byte{1, 2, 3}))
	fmt.Println(p.IntN(1000), p.Uint64(), p.Perm(5), c.IntN(1000), c.Float64(), c.Uint32())
	n := rand.Intn(10)
	fmt.Println(n >= 0 && n < 10)
}

func main() {
	errorValues()
	formats()
	numbers()
	collections()
	texts()
	streams()
	concurrent()
	times()
	randoms()
	fmt.Fprintln(os.Stderr, len(os.Args))
	defer fmt.Println("not printed")
	os.Exit(3)
}
