#include "textflag.h"

// Thread-local storage: the runtime's g, in every build mode.
#define get_tls(r) MOVQ TLS, r
#define g(r) 0(r)(TLS*1)

// A g of which only the stack's bounds are looked at: 64 words, on the stack
// that the code runs on.
#define FAKE_G 512
// What the Go code may use of the stack, guard included.
#define ROOM 16384
#define GUARD 1024

// Offsets in siginfo and in ucontext's registers.
#define SI_ADDR 16
#define UC_ERR 192
#define PAGE_WRITE 2

// sigbus(DI = signal, SI = siginfo, DX = ucontext) is the handler of SIGBUS,
// in the C convention, on the thread's signal stack.
TEXT ·sigbus(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	SI_ADDR(SI), AX
	SUBQ	·handlerLo(SB), AX
	CMPQ	AX, ·handlerSize(SB)
	JHS	chain
	LEAQ	-80(SP), SP
	MOVQ	DI, 0(SP)
	MOVQ	SI, 8(SP)
	MOVQ	DX, 16(SP)
	MOVQ	BX, 24(SP)
	MOVQ	BP, 32(SP)
	MOVQ	R12, 40(SP)
	MOVQ	R13, 48(SP)
	MOVQ	R14, 56(SP)
	MOVQ	R15, 64(SP)
	get_tls(CX)
	MOVQ	g(CX), AX
	MOVQ	AX, 72(SP)
	MOVQ	SP, BP
	MOVQ	SI_ADDR(SI), R8
	MOVQ	UC_ERR(DX), R9
	LEAQ	-FAKE_G(SP), SP
	ANDQ	$~63, SP
	MOVQ	SP, R14
	MOVQ	SP, DI
	MOVQ	$(FAKE_G/8), CX
	XORL	AX, AX
	CLD
	REP; STOSQ
	MOVQ	R14, 8(R14)
	LEAQ	-ROOM(R14), AX
	MOVQ	AX, 0(R14)
	ADDQ	$GUARD, AX
	MOVQ	AX, 16(R14)
	MOVQ	AX, 24(R14)
	get_tls(CX)
	MOVQ	R14, g(CX)
	LEAQ	-64(SP), SP
	MOVQ	BP, 32(SP)
	MOVQ	R8, 0(SP)
	MOVQ	R9, 8(SP)
	MOVB	$0, 16(SP)
	XORL	BP, BP
	CALL	·onFault(SB)
	MOVB	16(SP), R8
	MOVQ	32(SP), SP
	MOVQ	72(SP), AX
	get_tls(CX)
	MOVQ	AX, g(CX)
	MOVQ	0(SP), DI
	MOVQ	8(SP), SI
	MOVQ	16(SP), DX
	MOVQ	24(SP), BX
	MOVQ	32(SP), BP
	MOVQ	40(SP), R12
	MOVQ	48(SP), R13
	MOVQ	56(SP), R14
	MOVQ	64(SP), R15
	LEAQ	80(SP), SP
	TESTB	R8, R8
	JEQ	chain
	RET
chain:
	MOVQ	·nextHandler(SB), AX
	JMP	AX

// func sigbusAddress() uintptr
TEXT ·sigbusAddress(SB),NOSPLIT,$0-8
	MOVQ	$·sigbus(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func quietly(stack uintptr)
// Calls ·onQuiet on the stack that ends at stack, in the same circumstances
// as a fault: signals blocked, a g that the scheduler does not know.
TEXT ·quietly(SB),NOSPLIT,$48-8
	MOVQ	$-1, AX
	MOVQ	AX, 0(SP)
	LEAQ	0(SP), SI
	LEAQ	8(SP), DX
	MOVQ	$2, DI		// SIG_SETMASK
	MOVQ	$8, R10
	MOVQ	$14, AX		// rt_sigprocmask
	SYSCALL
	MOVQ	stack+0(FP), BX
	SUBQ	$FAKE_G, BX
	ANDQ	$~63, BX
	MOVQ	BX, DI
	MOVQ	$(FAKE_G/8), CX
	XORL	AX, AX
	CLD
	REP; STOSQ
	MOVQ	BX, 8(BX)
	LEAQ	-ROOM(BX), AX
	MOVQ	AX, 0(BX)
	ADDQ	$GUARD, AX
	MOVQ	AX, 16(BX)
	MOVQ	AX, 24(BX)
	get_tls(CX)
	MOVQ	g(CX), R14
	MOVQ	R14, 16(SP)
	MOVQ	BP, 24(SP)
	MOVQ	BX, g(CX)
	MOVQ	SP, AX
	MOVQ	BX, SP
	MOVQ	BX, R14
	LEAQ	-16(SP), SP
	MOVQ	AX, 0(SP)
	XORL	BP, BP
	CALL	·onQuiet(SB)
	MOVQ	0(SP), SP
	MOVQ	24(SP), BP
	MOVQ	16(SP), R14
	get_tls(CX)
	MOVQ	R14, g(CX)
	LEAQ	8(SP), SI
	XORL	DX, DX
	MOVQ	$2, DI
	MOVQ	$8, R10
	MOVQ	$14, AX
	SYSCALL
	XORPS	X15, X15
	RET

// func rawSyscall(n, a, b, c, d, e, f uintptr) uintptr
// The result is negative for an error, as the kernel gives it.
TEXT ·rawSyscall(SB),NOSPLIT,$0-64
	MOVQ	n+0(FP), AX
	MOVQ	a+8(FP), DI
	MOVQ	b+16(FP), SI
	MOVQ	c+24(FP), DX
	MOVQ	d+32(FP), R10
	MOVQ	e+40(FP), R8
	MOVQ	f+48(FP), R9
	SYSCALL
	MOVQ	AX, ret+56(FP)
	RET

// func pause()
TEXT ·pause(SB),NOSPLIT,$0-0
	PAUSE
	RET
