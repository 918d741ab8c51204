; One of everything. testdata/v1.pbc is what version 1 of the format made of it; every later version must still read that.
module "example.org/all" go="go1.26.0" source="000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
globals 64
file "a.go"
file "dir/b.go"
entry main
trap onTrap
fatalpanic onPanic
timerfire onTimer
ro "a constant" "\x00\xff"
native vm.print 3 0
native reflect.unsafe_New 1 1

type int int named
type string string named ptrto="*string"
type "*string" pointer elem=string
type "func()" func
type "func(int, ...string) (int, bool)" func in=(int, "[]string") out=(int, bool) variadic
type "[]string" slice elem=string
type bool bool named
type "interface {}" interface
type I interface pkg="example.org/all" named {
	imethod M "func()"
	imethod hidden "func()" pkg="example.org/all"
}
type T struct pkg="example.org/all" named {
	field Name string tag="json:\"name\""
	field T0 T0 embedded
	field end "struct {}" pkg="example.org/all"
	method M "func()" ifn=T.M
	method hidden "func()" pkg="example.org/all" ifn=T.M
}
type T0 array elem=int len=3 named
type "struct {}" struct
type "map[string]int" map key=string elem=int
type "<-chan T" chan elem=T dir=1
type huge array elem=T len=1000

global total int
global names "[]string" at=16
itab I T

func T.M wrapper frame=4 args=1 results=0 {
	maps auto
	ret
}
func onTrap frame=10 args=6 results=0 {
	maps auto
	ret
}
func onPanic frame=3 args=0 results=0 {
	maps auto
	ret
}
func onTimer frame=8 args=5 results=0 {
	maps auto
	ret
}
func inner closure frame=6 args=0 results=1 file=1 line=7 {
	point 2
	ld64 r3, r2, 8
	line 1:8
	line_end: ret1 r3
}
func main frame=60 args=0 results=0 recover=out type="func()" line=3 {
	local sum slot=3 type=int from=0 to=out
	always 20 21
	maps auto
	line 0:4
	ldi r3, 0
	ldk r4, -123456789012345
	ldstr r5, 0:10
	ldstr r7, "interned"
	ldg r9, names
	ldit r10, #0
loop:
	point 5 7 10
	mapget.1 r12, r9, r5, "map[string]int"
	slice r15, r15, {_ 3 _ 4}
	slicestr r15, r5, {3 _}
	fldx.1 r3, 40, r4, 2:8
	line 1:9
	incjltb r3, r4, loop
	ldfn r22, inner
	defer r22
	callc r40, r23, r22, 0, 0, 1
	callmap 9 20
	calli r40, r24, r24, 1, 1, 0
	native r30, r4, reflect.unsafe_New
	jeqi r3, -5, out
	panic r25
out:
	rundefers
	jmpb -2
	ret
}
