#include "textflag.h"
#include "layout_amd64.h"

// Exceptions. Ring 0 does nothing but hand over to CPL3: the processor pushes
// its frame on ist1, the stub adds AX and CR2 or the vector and leaves through
// the static frame ·trapFrame. On ist1, counted from its top:
//   -8 ss  -16 rsp  -24 rflags  -32 cs  -40 rip  -48 error  -56 ax  -64 cr2 or vector
// A fault at CPL0 could not be returned from, so the stubs touch static
// memory only.
TEXT phantomguest·trap14(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	PUSHQ	AX
	MOVQ	CR2, AX
	PUSHQ	AX
	MOVQ	$·trapFrame(SB), SP
	IRETQ

#define TRAP_NOCODE(name, n) \
TEXT name(SB),NOSPLIT|NOFRAME|TOPFRAME,$0 \
	PUSHQ	$0 \
	PUSHQ	AX \
	MOVL	$n, AX \
	MOVQ	AX, ·trapVector(SB) \
	MOVQ	$·trapFrame(SB), SP \
	IRETQ

#define TRAP_CODE(name, n) \
TEXT name(SB),NOSPLIT|NOFRAME|TOPFRAME,$0 \
	PUSHQ	AX \
	MOVL	$n, AX \
	MOVQ	AX, ·trapVector(SB) \
	MOVQ	$·trapFrame(SB), SP \
	IRETQ

TRAP_NOCODE(phantomguest·trap0, 256)
TRAP_NOCODE(phantomguest·trap4, 4)
TRAP_NOCODE(phantomguest·trap6, 6)
TRAP_NOCODE(phantomguest·trap7, 7)
TRAP_CODE(phantomguest·trap8, 8)
TRAP_CODE(phantomguest·trap13, 13)
TRAP_NOCODE(phantomguest·trap16, 16)
TRAP_CODE(phantomguest·trap17, 17)
TRAP_NOCODE(phantomguest·trap19, 19)

// The CPL3 half. The state that a Go function may destroy goes to ·trapRegs
// and ·trapXMM. The upper halves of the vector registers survive, because
// what runs here uses none (legacy SSE moves keep them).
TEXT phantomguest·trap3pl(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	CMPQ	·inTrap(SB), $0
	JNE	nested
	MOVQ	$1, ·inTrap(SB)
	MOVQ	$·trapRegs(SB), AX
	MOVQ	BX, S_BX(AX)
	MOVQ	CX, S_CX(AX)
	MOVQ	DX, S_DX(AX)
	MOVQ	SI, S_SI(AX)
	MOVQ	DI, S_DI(AX)
	MOVQ	BP, S_BP(AX)
	MOVQ	R8, S_R8(AX)
	MOVQ	R9, S_R9(AX)
	MOVQ	R10, S_R10(AX)
	MOVQ	R11, S_R11(AX)
	MOVQ	R12, S_R12(AX)
	MOVQ	R13, S_R13(AX)
	MOVQ	R14, S_R14(AX)
	MOVQ	R15, S_R15(AX)
	GET_TLS_CX
	MOVQ	CX, S_TLS(AX)
	MOVQ	$·trapXMM(SB), AX
	MOVUPS	X0, 0(AX)
	MOVUPS	X1, 16(AX)
	MOVUPS	X2, 32(AX)
	MOVUPS	X3, 48(AX)
	MOVUPS	X4, 64(AX)
	MOVUPS	X5, 80(AX)
	MOVUPS	X6, 96(AX)
	MOVUPS	X7, 112(AX)
	MOVUPS	X8, 128(AX)
	MOVUPS	X9, 144(AX)
	MOVUPS	X10, 160(AX)
	MOVUPS	X11, 176(AX)
	MOVUPS	X12, 192(AX)
	MOVUPS	X13, 208(AX)
	MOVUPS	X14, 224(AX)
	MOVUPS	X15, 240(AX)
	MOVQ	$·trapG(SB), R14
	SET_TLS_R14
	CLD
	XORL	BP, BP
	CALL	·trap(SB)
	MOVQ	$·trapXMM(SB), AX
	MOVUPS	0(AX), X0
	MOVUPS	16(AX), X1
	MOVUPS	32(AX), X2
	MOVUPS	48(AX), X3
	MOVUPS	64(AX), X4
	MOVUPS	80(AX), X5
	MOVUPS	96(AX), X6
	MOVUPS	112(AX), X7
	MOVUPS	128(AX), X8
	MOVUPS	144(AX), X9
	MOVUPS	160(AX), X10
	MOVUPS	176(AX), X11
	MOVUPS	192(AX), X12
	MOVUPS	208(AX), X13
	MOVUPS	224(AX), X14
	MOVUPS	240(AX), X15
	MOVQ	$·trapRegs(SB), AX
	MOVQ	S_TLS(AX), CX
	SET_TLS_CX
	MOVQ	S_BX(AX), BX
	MOVQ	S_CX(AX), CX
	MOVQ	S_DX(AX), DX
	MOVQ	S_SI(AX), SI
	MOVQ	S_DI(AX), DI
	MOVQ	S_BP(AX), BP
	MOVQ	S_R8(AX), R8
	MOVQ	S_R9(AX), R9
	MOVQ	S_R10(AX), R10
	MOVQ	S_R11(AX), R11
	MOVQ	S_R12(AX), R12
	MOVQ	S_R13(AX), R13
	MOVQ	S_R14(AX), R14
	MOVQ	S_R15(AX), R15
	MOVQ	$0, ·inTrap(SB)
	MOVQ	$·ist1(SB), SP
	ADDQ	$(IST_SIZE-56), SP
	POPQ	AX
	ADDQ	$8, SP
	IRETQ
nested:
	// A fault in the handler itself.
	MOVQ	$·kernStack(SB), SP
	ADDQ	$(KSTACK/2), SP
	MOVQ	$·kernG(SB), R14
	SET_TLS_R14
	CALL	·nestedTrap(SB)
	INT	$3

// The gate into ring 0 that CPL3 may call: INT3 at one place, ·ring0.
// AX = 1: flush the TLB. AX = 2: FS base := DI. AX = 3: invalidate page DI.
// An INT3 anywhere else is a trap like any other.
TEXT phantomguest·gate(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	PUSHQ	AX
	MOVQ	8(SP), AX
	CMPQ	AX, ·gateFrom(SB)
	POPQ	AX
	JNE	stray
	CMPQ	AX, $2
	JEQ	setFS
	CMPQ	AX, $3
	JEQ	invalidate
	MOVQ	CR3, AX
	MOVQ	AX, CR3
	IRETQ
stray:
	JMP	phantomguest·trap3(SB)
invalidate:
	INVLPG	(DI)
	IRETQ
setFS:
	MOVQ	DI, AX
	MOVQ	DI, DX
	SHRQ	$32, DX
	MOVL	$MSR_FS_BASE, CX
	WRMSR
	IRETQ

// func ring0(op, arg uintptr)
TEXT ·ring0(SB),NOSPLIT,$0-16
	MOVQ	op+0(FP), AX
	MOVQ	arg+8(FP), DI
	CALL	phantomguest·gateCall(SB)
	RET

// The address after the INT3 is what the gate compares.
TEXT phantomguest·gateCall(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0xcc
	RET

// A stray INT3 came in on rsp0, because the gate must leave ist1 alone: move
// its frame to where the other stubs have theirs.
TEXT phantomguest·trap3(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	AX, ·trapAX(SB)
	MOVQ	$·ist1(SB), AX
	ADDQ	$IST_SIZE, AX
	POPQ	-40(AX)
	POPQ	-32(AX)
	POPQ	-24(AX)
	POPQ	-16(AX)
	POPQ	-8(AX)
	MOVQ	$0, -48(AX)
	PUSHQ	·trapAX(SB)
	POPQ	-56(AX)
	MOVQ	$3, ·trapVector(SB)
	MOVQ	$·trapFrame(SB), SP
	IRETQ
