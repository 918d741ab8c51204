// Command suite is the programs that `make bench` times: each prints its
// result and the milliseconds that it took by its own clock.
package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

// sieve counts the primes below n, rounds times over.
func sieve(n, rounds int) int {
	count := 0
	flags := make([]bool, n)
	for range rounds {
		for i := range flags {
			flags[i] = true
		}
		count = 0
		for i := 2; i < n; i++ {
			if flags[i] {
				count++
				for j := i * 2; j < n; j += i {
					flags[j] = false
				}
			}
		}
	}
	return count
}

type body struct{ x, y, z, vx, vy, vz, mass float64 }

const (
	solarMass   = 4 * math.Pi * math.Pi
	daysPerYear = 365.24
)

func bodies() []body {
	return []body{
		{0, 0, 0, 0, 0, 0, solarMass},
		{4.84143144246472090, -1.16032004402742839, -.103622044471123109, .00166007664274403694 * daysPerYear, .00769901118419740425 * daysPerYear, -.0000690460016972063023 * daysPerYear, .000954791938424326609 * solarMass},
		{8.34336671824457987, 4.12479856412430479, -.403523417114321381, -.00276742510726411 * daysPerYear, .00499852801234917238 * daysPerYear, .0000230417297573763929 * daysPerYear, .000285885980666130812 * solarMass},
		{12.8943695621391310, -15.1111514016986312, -.223307578892655734, .00296460137564761618 * daysPerYear, .00237847173959480950 * daysPerYear, -.0000296589568540237556 * daysPerYear, .0000436624404335156298 * solarMass},
		{15.3796971148509165, -25.9193146099879641, .179258772950371181, .00268067772490389322 * daysPerYear, .00162824170038242295 * daysPerYear, -.0000951592254519715870 * daysPerYear, .0000515138902046611451 * solarMass},
	}
}

// nbody moves five bodies n steps and returns the system's energy.
func nbody(n int) float64 {
	sys := bodies()
	for range n {
		advance(sys, 0.01)
	}
	e := 0.0
	for i := range sys {
		b := &sys[i]
		e += 0.5 * b.mass * (b.vx*b.vx + b.vy*b.vy + b.vz*b.vz)
		for j := i + 1; j < len(sys); j++ {
			c := &sys[j]
			dx, dy, dz := b.x-c.x, b.y-c.y, b.z-c.z
			e -= b.mass * c.mass / math.Sqrt(dx*dx+dy*dy+dz*dz)
		}
	}
	return e
}

func advance(sys []body, dt float64) {
	for i := range sys {
		b := &sys[i]
		for j := i + 1; j < len(sys); j++ {
			c := &sys[j]
			dx, dy, dz := b.x-c.x, b.y-c.y, b.z-c.z
			d2 := dx*dx + dy*dy + dz*dz
			mag := dt / (d2 * math.Sqrt(d2))
			bm, cm := b.mass*mag, c.mass*mag
			b.vx -= dx * cm
			b.vy -= dy * cm
			b.vz -= dz * cm
			c.vx += dx * bm
			c.vy += dy * bm
			c.vz += dz * bm
		}
	}
	for i := range sys {
		b := &sys[i]
		b.x += dt * b.vx
		b.y += dt * b.vy
		b.z += dt * b.vz
	}
}

func matrix(n int, seed float64) [][]float64 {
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
		for j := range m[i] {
			m[i][j] = seed * float64(i-j) * float64(i+j)
		}
	}
	return m
}

func matmul(n int) float64 {
	a, b := matrix(n, 1/float64(n)), matrix(n, 2/float64(n))
	c := make([][]float64, n)
	for i := range c {
		c[i] = make([]float64, n)
		for j := range c[i] {
			sum := 0.0
			for k := range n {
				sum += a[i][k] * b[k][j]
			}
			c[i][j] = sum
		}
	}
	return c[n/2][n/2]
}

type tree struct{ left, right *tree }

func grow(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{grow(depth - 1), grow(depth - 1)}
}

func (t *tree) check() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.check() + t.right.check()
}

func trees(depth, rounds int) int {
	long := grow(depth)
	sum := 0
	for range rounds {
		sum += grow(depth - 4).check()
	}
	return sum + long.check()
}

// bytes hashes and transforms a buffer byte by byte.
func bytes(n, rounds int) int {
	buf := make([]byte, n)
	h := uint32(2166136261)
	for r := range rounds {
		for i := range buf {
			buf[i] = buf[i]*31 + byte(i+r)
			h = (h ^ uint32(buf[i])) * 16777619
		}
	}
	return int(h)
}

var programs = map[string]func() any{
	"fib":    func() any { return fib(35) },
	"sieve":  func() any { return sieve(1_000_000, 12) },
	"nbody":  func() any { return nbody(400_000) },
	"matmul": func() any { return matmul(220) },
	"trees":  func() any { return trees(16, 60) },
	"bytes":  func() any { return bytes(1<<20, 24) },
	"dirty":  func() any { return dirty(number(2)) },
	"steady": func() any { return steady(number(2)) },
	"churn":  func() any { return churn(number(2)) },
	"fill":   func() any { return fill(number(2)) },
	"sparse": func() any { return sparse(number(2)) },
	"idle":   func() any { return fill(1) },
}

func number(i int) int {
	if i < len(os.Args) {
		if n, err := strconv.Atoi(os.Args[i]); err == nil && n > 0 {
			return n
		}
	}
	usage()
	return 0
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: suite fib|sieve|nbody|matmul|trees|bytes|idle, dirty PAGES, steady PAGES, churn MIB, fill MIB, sparse GIB, zipf MIB WORDS VISITS")
	os.Exit(64)
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "zipf" {
		sum, took := zipf(number(2), number(3), number(4))
		fmt.Printf("%v\n%.3f ms\n", sum, float64(took)/1e6)
		return
	}
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		usage()
	}
	began := time.Now()
	result := programs[os.Args[1]]()
	fmt.Printf("%v\n%.3f ms\n", result, float64(time.Since(began))/1e6)
}
