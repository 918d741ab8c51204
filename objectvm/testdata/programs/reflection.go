package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

type P struct {
	Name string `json:"name"`
	Age  int    `json:"age,omitempty"`
	Tags []string
	M    map[string]float64
	In   *P
}

func (p P) Hello(s string, n int8) (string, int16) { return p.Name + s, int16(n) * 2 }
func (p *P) Set(s string)                          { p.Name = s }

type big struct{ A [200]int }

func main() {
	p := P{Name: "bob", Age: 3, Tags: []string{"x"}, M: map[string]float64{"a": 1.5, "b": 2}, In: &P{Name: "in"}}
	b, err := json.Marshal(p)
	fmt.Println(string(b), err)
	var q P
	fmt.Println(json.Unmarshal(b, &q), reflect.DeepEqual(p, q), q.In.Name)
	v := reflect.ValueOf(p)
	t := v.Type()
	for i := 0; i < t.NumField(); i++ {
		fmt.Println(t.Field(i).Name, t.Field(i).Tag.Get("json"), t.Field(i).Type)
	}
	for i := 0; i < reflect.TypeOf(&p).NumMethod(); i++ {
		fmt.Println(reflect.TypeOf(&p).Method(i).Name)
	}
	r := v.MethodByName("Hello").Call([]reflect.Value{reflect.ValueOf(" hi"), reflect.ValueOf(int8(4))})
	fmt.Println(r[0], r[1])
	reflect.ValueOf(&p).MethodByName("Set").Call([]reflect.Value{reflect.ValueOf("new")})
	fmt.Println(p.Name)
	f := reflect.ValueOf(strings.Repeat)
	fmt.Println(f.Call([]reflect.Value{reflect.ValueOf("ab"), reflect.ValueOf(3)})[0])
	sw := reflect.MakeFunc(reflect.TypeOf(func(int, string) (string, int) { return "", 0 }), func(a []reflect.Value) []reflect.Value {
		return []reflect.Value{a[1], a[0]}
	})
	x, y := sw.Interface().(func(int, string) (string, int))(7, "seven")
	fmt.Println(x, y)
	mv := v.MethodByName("Hello").Interface().(func(string, int8) (string, int16))
	fmt.Println(mv("!!", 5))
	fmt.Println(reflect.SliceOf(reflect.TypeOf(big{})), reflect.MapOf(reflect.TypeOf(""), reflect.TypeOf(p)), reflect.PointerTo(reflect.TypeOf(&q)))
	m := reflect.MakeMap(reflect.MapOf(reflect.TypeOf(int16(0)), reflect.TypeOf(big{})))
	m.SetMapIndex(reflect.ValueOf(int16(3)), reflect.ValueOf(big{}))
	fmt.Println(m.Len(), m.MapIndex(reflect.ValueOf(int16(3))).Field(0).Len())
	st := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeOf(0), Tag: `json:"a"`}, {Name: "B", Type: reflect.TypeOf("")}})
	sv := reflect.New(st).Elem()
	sv.Field(0).SetInt(9)
	sv.Field(1).SetString("bb")
	fmt.Printf("%v %+v %T\n", sv.Interface(), sv.Interface(), sv.Interface())
	ch := reflect.MakeChan(reflect.TypeOf(make(chan big)), 1)
	ch.Send(reflect.ValueOf(big{A: [200]int{199: 5}}))
	rv, ok := ch.Recv()
	fmt.Println(rv.Field(0).Index(199), ok)
	c1, c2 := make(chan int), make(chan string, 1)
	go func() { time.Sleep(time.Millisecond); c1 <- 5 }()
	i, rv, ok := reflect.Select([]reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c1)}, {Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c2)}})
	fmt.Println(i, rv, ok)
	var mu sync.Mutex
	var wg sync.WaitGroup
	n := 0
	for i := 0; i < 12; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			mu.Lock()
			k := n
			runtime.Gosched()
			n = k + 1
			mu.Unlock()
		}()
	}
	wg.Wait()
	fmt.Println(n)
	var sm sync.Map
	sm.Store("a", 1)
	sm.Store(5, "b")
	fmt.Println(sm.Load("a"))
	fmt.Println(sm.Load(5))
	tw := tabwriter.NewWriter(os.Stdout, 0, 8, 1, ' ', 0)
	fmt.Fprintln(tw, "a\tb\tc")
	fmt.Fprintln(tw, "aaa\tbbb\tccc")
	tw.Flush()
	ks := []string{}
	for k := range map[string]bool{"z": true, "y": false, "x": true} {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	fmt.Println(ks)
	tm := time.NewTimer(time.Hour)
	fmt.Println(tm.Stop(), tm.Reset(time.Millisecond))
	<-tm.C
	tk := time.NewTicker(time.Millisecond)
	for i := 0; i < 3; i++ {
		<-tk.C
	}
	tk.Stop()
	select {
	case <-time.After(5 * time.Millisecond):
		fmt.Println("after")
	}
	done := make(chan bool)
	time.AfterFunc(time.Millisecond, func() { done <- true })
	fmt.Println(<-done)
	_, file, line, ok := runtime.Caller(0)
	fmt.Println(strings.HasSuffix(file, "reflection.go"), line > 100, ok)
	var once sync.Once
	once.Do(func() { fmt.Println("once") })
	cond := sync.NewCond(&mu)
	rdy := false
	go func() { mu.Lock(); rdy = true; cond.Broadcast(); mu.Unlock() }()
	mu.Lock()
	for !rdy {
		cond.Wait()
	}
	mu.Unlock()
	defer func() { fmt.Println("rec", recover()) }()
	mm := map[any]int{1: 1}
	fmt.Println(mm[[]int{1}])
}
