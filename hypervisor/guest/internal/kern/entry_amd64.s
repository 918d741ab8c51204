#include "textflag.h"
#include "layout_amd64.h"

// System calls. Three ways lead to enter, with the call's number in AX, the
// Linux argument registers, and the address to return to in CX:
//   - a call of phantomguest·syscall, from a thunk that the post-link step
//     put in the place of MOV+SYSCALL, or from ·trampoline;
//   - SYSCALL on a processor that goes to CPL0 for it;
//   - SYSCALL under a KVM that arrives at LSTAR still at CPL3.
// lstar touches static memory only: a fault at CPL0 could not be returned from.
TEXT phantomguest·lstar(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	CX, ·trapRIP(SB)
	MOVW	CS, R11
	TESTL	$3, R11
	JNZ	user
	MOVQ	$phantomguest·fromTrap(SB), CX
	MOVL	$2, R11
	BYTE	$0x48; BYTE $0x0f; BYTE $0x07	// SYSRETQ
user:
	JMP	phantomguest·fromTrap(SB)

TEXT phantomguest·fromTrap(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	·trapRIP(SB), CX
	JMP	phantomguest·enter(SB)

TEXT phantomguest·syscall(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	POPQ	CX
	JMP	phantomguest·enter(SB)

TEXT phantomguest·enter(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	·current(SB), R11
	MOVQ	CX, T_RIP(R11)
	MOVQ	SP, T_RSP(R11)
	MOVQ	AX, T_AX(R11)
	MOVQ	BX, T_BX(R11)
	MOVQ	DX, T_DX(R11)
	MOVQ	SI, T_SI(R11)
	MOVQ	DI, T_DI(R11)
	MOVQ	BP, T_BP(R11)
	MOVQ	R8, T_R8(R11)
	MOVQ	R9, T_R9(R11)
	MOVQ	R10, T_R10(R11)
	MOVQ	R12, T_R12(R11)
	MOVQ	R13, T_R13(R11)
	MOVQ	R14, T_R14(R11)
	MOVQ	R15, T_R15(R11)
	GET_TLS_CX
	MOVQ	CX, T_TLS(R11)
	MOVQ	$·kernG(SB), R14
	SET_TLS_R14
	MOVQ	$·kernStack(SB), AX
	LEAQ	(KSTACK-64)(AX), SP
	CLD
	XORL	BP, BP
	CALL	·dispatch(SB)
	// ·current may be another thread now.
	MOVQ	·current(SB), R11
	MOVQ	T_TLS(R11), CX
	SET_TLS_CX
	MOVQ	T_RSP(R11), SP
	MOVQ	T_AX(R11), AX
	MOVQ	T_BX(R11), BX
	MOVQ	T_DX(R11), DX
	MOVQ	T_SI(R11), SI
	MOVQ	T_DI(R11), DI
	MOVQ	T_BP(R11), BP
	MOVQ	T_R8(R11), R8
	MOVQ	T_R9(R11), R9
	MOVQ	T_R10(R11), R10
	MOVQ	T_R12(R11), R12
	MOVQ	T_R13(R11), R13
	MOVQ	T_R14(R11), R14
	MOVQ	T_R15(R11), R15
	XORPS	X15, X15
	MOVQ	T_RIP(R11), CX
	JMP	CX

// func trampoline(n, a, b, c, d uintptr) uintptr
// A system call that never goes through SYSCALL.
TEXT ·trampoline(SB),NOSPLIT,$0-48
	MOVQ	n+0(FP), AX
	MOVQ	a+8(FP), DI
	MOVQ	b+16(FP), SI
	MOVQ	c+24(FP), DX
	MOVQ	d+32(FP), R10
	CALL	phantomguest·syscall(SB)
	MOVQ	AX, ret+40(FP)
	RET

// Nanoseconds since boot, plus a second so that no time is 0: AX. Destroys DX.
#define NANOS \
	RDTSC \
	SHLQ	$32, DX \
	ORQ	DX, AX \
	SUBQ	·bootTSC(SB), AX \
	MULQ	·tscMult(SB) \
	SHRQ	$32, DX, AX \
	ADDQ	$1000000000, AX

// What the Go runtime takes for the vDSO's clock_gettime(DI = clock, SI =
// timespec), in the C convention.
TEXT phantomguest·vclock(SB),NOSPLIT|NOFRAME,$0
	NANOS
	TESTL	DI, DI
	JNZ	monotonic
	ADDQ	·wallBase(SB), AX
monotonic:
	XORL	DX, DX
	MOVQ	$1000000000, CX
	DIVQ	CX
	MOVQ	AX, 0(SI)
	MOVQ	DX, 8(SI)
	XORL	AX, AX
	RET

// func nanos() int64
TEXT ·nanos(SB),NOSPLIT,$0-8
	NANOS
	MOVQ	AX, ret+0(FP)
	RET

// func outl(port uint16, value uint32)
TEXT ·outl(SB),NOSPLIT,$0-8
	MOVW	port+0(FP), DX
	MOVL	value+4(FP), AX
	OUTL
	RET

// func rdrand() (value uint64, ok bool)
TEXT ·rdrand(SB),NOSPLIT,$0-9
	MOVL	$32, CX
again:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xc7; BYTE $0xf0	// RDRAND AX
	JCS	got
	DECL	CX
	JNZ	again
	XORL	AX, AX
	MOVQ	AX, value+0(FP)
	MOVB	$0, ok+8(FP)
	RET
got:
	MOVQ	AX, value+0(FP)
	MOVB	$1, ok+8(FP)
	RET

// func cpuid1() (ecx uint32)
TEXT ·cpuid1(SB),NOSPLIT,$0-4
	MOVL	$1, AX
	XORL	CX, CX
	CPUID
	MOVL	CX, ecx+0(FP)
	RET

// func clear(a, n uintptr)
// n is a multiple of 8. String instructions, because the runtime's memclr may
// use vector registers that the trap path does not save.
TEXT ·clearWords(SB),NOSPLIT,$0-16
	MOVQ	a+0(FP), DI
	MOVQ	n+8(FP), CX
	SHRQ	$3, CX
	XORL	AX, AX
	REP; STOSQ
	RET

// func copyBytes(to, from, n uintptr)
TEXT ·copyBytes(SB),NOSPLIT,$0-24
	MOVQ	to+0(FP), DI
	MOVQ	from+8(FP), SI
	MOVQ	n+16(FP), CX
	REP; MOVSB
	RET
