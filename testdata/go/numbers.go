// Integers and floats: overflow, conversions, division, shifts.
package main

import "fmt"

//go:noinline
func i8(a, b int8) {
	fmt.Println(a+b, a-b, a*b, -a, ^a, a&b, a|b, a^b, a&^b, a<<1, a<<7, a>>1, a>>7)
	if b != 0 {
		fmt.Println(a/b, a%b)
	}
}

//go:noinline
func u8(a, b uint8) {
	fmt.Println(a+b, a-b, a*b, -a, ^a, a&b, a|b, a^b, a&^b, a<<1, a<<7, a>>1, a>>7)
	if b != 0 {
		fmt.Println(a/b, a%b)
	}
}

//go:noinline
func i16(a, b int16) { fmt.Println(a+b, a-b, a*b, -a, ^a, a<<3, a>>3, a*3, a-100, 100-a) }

//go:noinline
func u16(a, b uint16) { fmt.Println(a+b, a-b, a*b, -a, ^a, a<<3, a>>3, a*3, a-100, 100-a) }

//go:noinline
func i32(a, b int32) {
	fmt.Println(a+b, a-b, a*b, -a, ^a, a<<3, a>>3, a*3, a-100, 100-a, a+1, a|0x40000000)
	if b != 0 {
		fmt.Println(a/b, a%b, a/7, a%7)
	}
}

//go:noinline
func u32(a, b uint32) {
	fmt.Println(a+b, a-b, a*b, -a, ^a, a<<3, a>>3, a*3, a-100, 100-a, a+1, a|0x80000000)
	if b != 0 {
		fmt.Println(a/b, a%b, a/7, a%7)
	}
}

//go:noinline
func i64(a, b int64) {
	fmt.Println(a+b, a-b, a*b, -a, ^a, a<<3, a>>3, a*3, a-100, 100-a, a+1, a|1<<62, a&0xff, a&^0xff)
	if b != 0 {
		fmt.Println(a/b, a%b, a/7, a%7, a/16, a%16)
	}
}

//go:noinline
func u64(a, b uint64) {
	fmt.Println(a+b, a-b, a*b, -a, ^a, a<<3, a>>3, a*3, a-100, 100-a, a+1, a|1<<63, a < b, a <= b, a > b, a >= b)
	if b != 0 {
		fmt.Println(a/b, a%b, a/7, a%7)
	}
}

//go:noinline
func conv(x int64) {
	fmt.Println(int8(x), int16(x), int32(x), int64(x), uint8(x), uint16(x), uint32(x), uint64(x), float32(x), float64(x))
	u := uint64(x)
	fmt.Println(int8(u), int16(u), int32(u), int64(u), uint8(u), uint16(u), uint32(u), float32(u), float64(u))
	a := int8(x)
	fmt.Println(int16(a), uint16(a), int32(a), uint32(a), int64(a), uint64(a), uint8(a))
	c := uint8(x)
	fmt.Println(int16(c), uint16(c), int32(c), uint32(c), int64(c), uint64(c), int8(c))
	d := int32(x)
	fmt.Println(int16(d), uint32(d), uint64(d), float32(d), float64(d))
}

//go:noinline
func fconv(x float64) {
	fmt.Println(int8(x), int16(x), int32(x), int64(x), uint8(x), uint16(x), uint32(x), uint64(x), int(x), uint(x), float32(x))
	y := float32(x)
	fmt.Println(int8(y), int16(y), int32(y), int64(y), uint8(y), uint16(y), uint32(y), uint64(y), float64(y))
}

//go:noinline
func shifts(x int64, n uint) {
	fmt.Println(x<<n, x>>n, uint64(x)<<n, uint64(x)>>n, int32(x)<<n, int32(x)>>n, uint32(x)<<n, uint32(x)>>n)
	fmt.Println(int8(x)<<n, int8(x)>>n, uint8(x)<<n, uint8(x)>>n, 1<<n, int16(x)<<int(n))
}

//go:noinline
func floats(a, b float64) {
	fmt.Println(a+b, a-b, a*b, a/b, -a, a < b, a <= b, a > b, a >= b, a == b, a != b)
	c, d := float32(a), float32(b)
	fmt.Println(c+d, c-d, c*d, c/d, -c, c < d, c <= d, c > d, c >= d, c == d, c != d)
	if a < b {
		fmt.Print("lt ")
	}
	if !(a < b) {
		fmt.Print("nlt ")
	}
	if a >= b {
		fmt.Print("ge ")
	}
	if !(a >= b) {
		fmt.Print("nge ")
	}
	if a == b {
		fmt.Print("eq ")
	}
	if a != b {
		fmt.Print("ne ")
	}
	fmt.Println(min(a, b), max(a, b), min(c, d), max(c, d))
}

//go:noinline
func cplx(a, b complex128) {
	fmt.Println(a+b, a-b, a*b, a/b, -a, a == b, a != b, real(a), imag(b), complex(imag(a), real(b)))
	c, d := complex64(a), complex64(b)
	fmt.Println(c+d, c-d, c*d, c/d, -c, c == d, c != d, real(c), imag(d), complex(imag(c), real(d)))
}

func neg(n int) (r any) {
	defer func() { r = recover() }()
	return 1 << n
}

func div(a, b int) (r any) {
	defer func() { r = recover() }()
	return a / b
}

func main() {
	for _, a := range []int64{0, 1, -1, 7, 100, 127, 128, -128, 200, 255, 256, 32767, -32768, 1 << 31, -1 << 31, 1<<32 - 1, 1<<63 - 1, -1 << 63, 123456789012345} {
		for _, b := range []int64{1, -1, 3, -100, 1000, 1 << 40} {
			i8(int8(a), int8(b))
			u8(uint8(a), uint8(b))
			i16(int16(a), int16(b))
			u16(uint16(a), uint16(b))
			i32(int32(a), int32(b))
			u32(uint32(a), uint32(b))
			i64(a, b)
			u64(uint64(a), uint64(b))
		}
		conv(a)
		for _, n := range []uint{0, 1, 7, 8, 31, 32, 63, 64, 65, 1000, 1 << 63} {
			if n < 1<<62 {
				shifts(a, n)
			}
		}
	}
	z := 0.0
	for _, f := range []float64{0, 1, -1, 1.5, -2.5, 300.7, 1<<31 + 0.5, 1 << 32, 1 << 53, 1 << 63, 1<<63 + 4096, 1 << 64, 1e30, -1e30, 1e-300, 1 / z, -1 / z, z / z} {
		fconv(f)
		for _, g := range []float64{0, -0.0, 2, -1.5, z / z, 1 / z} {
			floats(f, g)
		}
	}
	cplx(1+2i, 3-4i)
	cplx(0, 1i)
	fmt.Println(neg(-1), neg(3), div(1, 0), div(-1<<63, -1))
}
