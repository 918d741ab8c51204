; Prints the 20th Fibonacci number, by recursion.
module fib go="go1.26"
file "fib.go"
entry main

native vm.print 3 0   ; kind, value (2 slots)
native vm.exit 1 0

type int int named
type "func(int) int" func in=(int) out=(int)

func fib frame=12 args=1 results=1 type="func(int) int" file=0 line=3 {
	maps auto
	param n slot=3 type=int
	line 0:4
	jgei r3, 2, recurse
	ret1 r3
recurse:
	line 0:7
	addi r11, r3, -1        ; the argument lies 3 slots behind the window
	call r8, r4, fib
	addi r11, r3, -2
	call r8, r5, fib
	add  r4, r4, r5
	ret1 r4
}

func main frame=12 args=0 results=0 file=0 line=10 {
	maps auto
	ldi  r11, 20
	call r8, r4, fib
	ldi  r3, 1
	native r0, r3, vm.print
	ldi  r3, 9
	native r0, r3, vm.print
	ldi  r3, 0
	native r0, r3, vm.exit
	ret
}
