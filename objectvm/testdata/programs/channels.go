package main

func gen(n int) chan int {
	c := make(chan int, 3)
	go func() {
		for i := 0; i < n; i++ {
			c <- i
		}
		close(c)
	}()
	return c
}

func filter(in chan int, p int) chan int {
	out := make(chan int)
	go func() {
		for x := range in {
			if x%p != 0 {
				out <- x
			}
		}
		close(out)
	}()
	return out
}

func main() {
	c := gen(60)
	<-c
	<-c
	for i := 0; i < 20; i++ {
		p, ok := <-c
		if !ok {
			break
		}
		println(p)
		c = filter(c, p)
	}
	a, b, quit := make(chan string), make(chan string), make(chan bool)
	go func() {
		for i := 0; i < 5; i++ {
			a <- "a"
		}
		quit <- true
	}()
	go func() {
		for i := 0; i < 5; i++ {
			b <- "b"
		}
		quit <- true
	}()
	na, nb, nq := 0, 0, 0
	for nq < 2 {
		select {
		case <-a:
			na++
		case <-b:
			nb++
		case <-quit:
			nq++
		}
	}
	println(na, nb)
	select {
	case <-a:
	default:
		println("default")
	}
	for i := 0; i < 100; i++ {
		go func() { quit <- i%2 == 0 }()
	}
	n := 0
	for i := 0; i < 100; i++ {
		if <-quit {
			n++
		}
	}
	println(n)
}
