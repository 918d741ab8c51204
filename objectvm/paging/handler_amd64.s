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
#define UC_RIP 168
#define PAGE_WRITE 2

// Both handlers of SIGBUS are entered in the C convention, DI = signal, SI =
// siginfo, DX = ucontext, on the thread's signal stack.

// sigbus is for a kernel that restores all registers when the handler returns.
TEXT ·sigbus(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	SI_ADDR(SI), AX
	SUBQ	·handlerLo(SB), AX
	CMPQ	AX, ·handlerSize(SB)
	JHS	chain
	CALL	phantompaging·serve(SB)
	TESTB	R8, R8
	JEQ	chain
	RET
chain:
	MOVQ	·nextHandler(SB), AX
	JMP	AX

// Offsets of registers in ucontext, and what of the extended state is kept:
// x87, SSE, AVX, AVX-512.
#define UC(n) (40+8*(n))
#define STATE 0xe7
#define STATE_SIZE 3072

// sigbusKeep is for one that may not: it keeps the vector registers itself and
// returns to the interrupted code by IRETQ, which works between equal privileges.
TEXT ·sigbusKeep(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	SI_ADDR(SI), AX
	SUBQ	·handlerLo(SB), AX
	CMPQ	AX, ·handlerSize(SB)
	JHS	chain
	MOVQ	SP, R12
	LEAQ	-STATE_SIZE(SP), SP
	ANDQ	$~63, SP
	MOVQ	SP, R13
	CMPB	·useXSAVE(SB), $0
	JEQ	legacySave
	MOVQ	DI, R9
	MOVQ	DX, R10
	LEAQ	512(R13), DI	// the header, which says what the area holds
	XORL	AX, AX
	MOVL	$8, CX
	CLD
	REP; STOSQ
	MOVQ	R13, DI
	MOVL	$STATE, AX
	XORL	DX, DX
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x27	// XSAVE64 (DI)
	MOVQ	R9, DI
	MOVQ	R10, DX
	JMP	saved
legacySave:
	MOVQ	DI, R9
	MOVQ	R13, DI
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x07	// FXSAVE64 (DI)
	MOVQ	R9, DI
saved:
	CALL	phantompaging·serve(SB)
	TESTB	R8, R8
	JEQ	failed
	MOVQ	DX, BX
	MOVQ	R13, DI
	CMPB	·useXSAVE(SB), $0
	JEQ	legacyRestore
	MOVL	$STATE, AX
	XORL	DX, DX
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x2f	// XRSTOR64 (DI)
	JMP	restored
legacyRestore:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x0f	// FXRSTOR64 (DI)
restored:
	// What IRETQ takes: RIP, CS, flags, RSP, SS.
	LEAQ	-64(R13), SP
	MOVQ	UC(16)(BX), AX
	MOVQ	AX, 0(SP)
	MOVQ	$0x33, 8(SP)
	MOVQ	UC(17)(BX), AX
	MOVQ	AX, 16(SP)
	MOVQ	UC(15)(BX), AX
	MOVQ	AX, 24(SP)
	MOVQ	$0x2b, 32(SP)
	MOVQ	UC(0)(BX), R8
	MOVQ	UC(1)(BX), R9
	MOVQ	UC(2)(BX), R10
	MOVQ	UC(3)(BX), R11
	MOVQ	UC(4)(BX), R12
	MOVQ	UC(5)(BX), R13
	MOVQ	UC(6)(BX), R14
	MOVQ	UC(7)(BX), R15
	MOVQ	UC(8)(BX), DI
	MOVQ	UC(9)(BX), SI
	MOVQ	UC(10)(BX), BP
	MOVQ	UC(12)(BX), DX
	MOVQ	UC(13)(BX), AX
	MOVQ	UC(14)(BX), CX
	MOVQ	UC(11)(BX), BX
	IRETQ
failed:
	MOVQ	R12, SP
chain:
	MOVQ	·nextHandler(SB), AX
	JMP	AX

// serve calls ·onFault for a signal. R8 := its result; AX, CX, R9-R11 and the
// vector registers are lost, all others are kept.
TEXT phantompaging·serve(SB),NOSPLIT|NOFRAME,$0
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
	MOVQ	UC_RIP(DX), R10
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
	MOVQ	R10, 16(SP)
	MOVB	$0, 24(SP)
	XORL	BP, BP
	CALL	·onFault(SB)
	MOVB	24(SP), R8
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
	RET

// func sigbusAddress() uintptr
TEXT ·sigbusAddress(SB),NOSPLIT,$0-8
	MOVQ	$·sigbus(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func sigbusKeepAddress() uintptr
TEXT ·sigbusKeepAddress(SB),NOSPLIT,$0-8
	MOVQ	$·sigbusKeep(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func haveXSAVE() bool
// OSXSAVE: the system has switched XSAVE on.
TEXT ·haveXSAVE(SB),NOSPLIT,$0-1
	MOVL	$1, AX
	XORL	CX, CX
	CPUID
	SHRL	$27, CX
	ANDL	$1, CX
	MOVB	CX, ret+0(FP)
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
