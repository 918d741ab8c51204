#include "textflag.h"

// func crcWords(p uintptr, n int) uint32
TEXT ·crcWords(SB), NOSPLIT, $0-20
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	MOVL $0xffffffff, AX

next:
	CRC32Q (SI), AX
	ADDQ   $8, SI
	DECQ   CX
	JNZ    next
	NOTL   AX
	MOVL   AX, ret+16(FP)
	RET
