package main

import (
	"fmt"
	"reflect"
	"sync"
)

type op struct{ n int }

func (o op) Add(a, b int) (int, string) { return a + b + o.n, fmt.Sprint(a, "+", b) }

func (o *op) Panic(s string) { panic("reflect " + s) }

// deep calls itself through reflect, so that trampolines of natives lie in every stack chunk.
func deep(n int, text string, pad [12]int) (int, []string) {
	if n == 0 {
		return pad[3], []string{text}
	}
	pad[3] += n
	out := reflect.ValueOf(deep).Call([]reflect.Value{reflect.ValueOf(n - 1), reflect.ValueOf(text + "x"), reflect.ValueOf(pad)})
	return int(out[0].Int()) + 1, append(out[1].Interface().([]string), text)
}

func try(f func()) (s string) {
	defer func() { s = fmt.Sprint("recovered ", recover()) }()
	f()
	return "no panic"
}

func main() {
	o := &op{10}
	v := reflect.ValueOf(o)
	out := v.MethodByName("Add").Call([]reflect.Value{reflect.ValueOf(1), reflect.ValueOf(2)})
	fmt.Println(out[0].Int(), out[1])
	fmt.Println(try(func() { v.MethodByName("Panic").Call([]reflect.Value{reflect.ValueOf("boom")}) }))
	n, texts := deep(14, "t", [12]int{})
	fmt.Println(n, len(texts), len(texts[0]))
	f := reflect.MakeFunc(reflect.TypeOf(func(int, string) string { return "" }), func(in []reflect.Value) []reflect.Value {
		return []reflect.Value{reflect.ValueOf(fmt.Sprint(in[0].Int(), in[1].String()))}
	})
	fmt.Println(f.Interface().(func(int, string) string)(7, "seven"))
	var mu sync.Mutex
	var wg sync.WaitGroup
	total := 0
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out := reflect.ValueOf(func(a int) int {
				mu.Lock()
				defer mu.Unlock()
				total += a
				return total
			}).Call([]reflect.Value{reflect.ValueOf(i)})
			_ = out
		}()
	}
	wg.Wait()
	fmt.Println(total)
	ch := make(chan int)
	go func() {
		reflect.ValueOf(ch).Send(reflect.ValueOf(5))
		close(ch)
	}()
	x, ok := reflect.ValueOf(ch).Recv()
	y, ok2 := reflect.ValueOf(ch).Recv()
	fmt.Println(x, ok, y, ok2)
}
