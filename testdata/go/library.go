// The standard library: encoding, templates, regular expressions, big numbers, reflection.
package main

import (
	"bufio"
	"bytes"
	"container/heap"
	"container/list"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"
	"unicode"
)

type P struct {
	Name string         `json:"name"`
	Age  int            `json:"age,omitempty"`
	Tags []string       `json:"tags"`
	M    map[string]any `json:"m"`
	In   *P             `json:"in,omitempty"`
	f    float64
	T    time.Duration
	B    []byte
	Arr  [3]int8
}

func (p P) Greet(s string) string { return s + " " + p.Name }

type ih []int

func (h ih) Len() int           { return len(h) }
func (h ih) Less(i, j int) bool { return h[i] < h[j] }
func (h ih) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ih) Push(x any)        { *h = append(*h, x.(int)) }
func (h *ih) Pop() any {
	o := *h
	x := o[len(o)-1]
	*h = o[:len(o)-1]
	return x
}

func main() {
	p := P{Name: "Ann", Age: 3, Tags: []string{"a", "b"}, M: map[string]any{"x": 1.5, "y": []int{1}}, In: &P{Name: "In"}, B: []byte("bytes")}
	b, err := json.Marshal(p)
	fmt.Println(string(b), err)
	var q P
	err = json.Unmarshal(b, &q)
	fmt.Println(q.Name, q.In.Name, q.M["y"], string(q.B), reflect.DeepEqual(p.Tags, q.Tags), err)
	fmt.Println(json.Unmarshal([]byte(`{"name": 5}`), &q))
	t := template.Must(template.New("x").Parse("{{range $i, $e := .Tags}}{{$i}}:{{$e | printf \"%q\"}} {{end}}{{.Greet \"hi\"}} {{len .M}}\n"))
	fmt.Println(t.Execute(os.Stdout, p))
	re := regexp.MustCompile(`(\w+)@(\w+)\.com`)
	fmt.Println(re.FindAllStringSubmatch("a@b.com, cc@dd.com", -1), re.ReplaceAllString("x@y.com", "$2-$1"))
	x, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	y := new(big.Int).Exp(x, big.NewInt(7), nil)
	fmt.Println(y, new(big.Int).Mod(y, big.NewInt(1000007)), new(big.Int).Sqrt(y))
	fmt.Println(hex.EncodeToString(func() []byte { s := sha256.Sum256([]byte("abc")); return s[:] }()), base64.StdEncoding.EncodeToString([]byte("hello!?")))
	h := &ih{5, 2, 8}
	heap.Init(h)
	heap.Push(h, 1)
	for h.Len() > 0 {
		fmt.Print(heap.Pop(h), " ")
	}
	l := list.New()
	l.PushBack(1)
	l.PushFront("z")
	for e := l.Front(); e != nil; e = e.Next() {
		fmt.Print(e.Value, " ")
	}
	fmt.Println()
	sc := bufio.NewScanner(strings.NewReader("one two\nthree"))
	sc.Split(bufio.ScanWords)
	for sc.Scan() {
		fmt.Print(sc.Text(), "|")
	}
	var buf bytes.Buffer
	binary.Write(&buf, binary.LittleEndian, struct {
		A uint16
		B int32
	}{1, -2})
	fmt.Println(buf.Bytes(), strconv.Quote("a\tb\u00e9\x00"), strconv.FormatFloat(1.0/3, 'g', -1, 32))
	fmt.Println(math.Sin(1), math.Exp(2.5), math.Pow(2, 0.5), math.Log(10), math.Mod(7, 3), math.Inf(1), math.Hypot(3, 4), math.Cbrt(27), math.Float32bits(1.5))
	fmt.Println(bits.LeadingZeros16(5), bits.TrailingZeros8(0), bits.Len32(7), bits.Reverse8(3), bits.OnesCount(255), bits.RotateLeft8(0x81, 1), bits.ReverseBytes16(0x1234))
	hi, lo := bits.Mul64(1<<63, 6)
	s, c := bits.Add64(1<<63, 1<<63, 1)
	dq, dr := bits.Div64(1, 5, 10)
	fmt.Println(hi, lo, s, c, dq, dr)
	fmt.Println(unicode.IsUpper('É'), unicode.ToLower('Σ'), unicode.Is(unicode.Han, '世'), strings.Title("foo bar"), strings.EqualFold("Straße", "STRASSE"))
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 1, ' ', 0)
	fmt.Fprintln(w, "a\tbb\tc")
	fmt.Fprintln(w, "aaa\tb\tc")
	w.Flush()
	rv := reflect.ValueOf(&p).Elem()
	for i := range rv.NumField() {
		f := rv.Type().Field(i)
		fmt.Print(f.Name, " ", f.Type, " ", f.Tag.Get("json"), "; ")
	}
	fmt.Println(rv.Type(), rv.NumMethod())
	m := rv.MethodByName("Greet")
	fmt.Println(m.Call([]reflect.Value{reflect.ValueOf("yo")})[0])
	fn := reflect.MakeFunc(reflect.TypeOf(func(int, int8) (string, int16) { return "", 0 }), func(a []reflect.Value) []reflect.Value {
		return []reflect.Value{reflect.ValueOf(fmt.Sprint(a[0].Int() + a[1].Int())), reflect.ValueOf(int16(-3))}
	}).Interface().(func(int, int8) (string, int16))
	fmt.Println(fn(40, 2))
	ms := reflect.MakeSlice(reflect.TypeOf([]string{}), 0, 2)
	ms = reflect.Append(ms, reflect.ValueOf("r"))
	mm := reflect.MakeMap(reflect.TypeOf(map[string]int{}))
	mm.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf(4))
	fmt.Println(ms, mm, reflect.TypeOf(struct {
		A int `t:"1"`
		b string
	}{}), reflect.TypeOf((*func(int, ...string) (error, bool))(nil)))
	fmt.Printf("%08b %x %X %o %e %8.3f|%-8s|%+d %U %c %p %v %t\n", 5, "hi", 255, 8, 1234.5678, 3.14159, "ab", 5, 0x1F600, 'x', nil, [2]bool{true}, true)
	d := time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC)
	fmt.Println(d.Format(time.RFC1123), d.AddDate(1, 0, 0).Weekday(), d.YearDay())
}
