#include "textflag.h"
#include "layout_amd64.h"

// Entry of the unikernel, at CPL0, in the state that an hvt tender leaves:
// DI = boot info, the low memory identity mapped for the supervisor only.
// Every instruction up to IRETQ may be emulated one by one, so there are few.
//
// Behind the kernel's end (K): PML4 at K, PDPT at K+0x1000, four page
// directories at K+0x2000, the first page table at K+0x6000; then the stack.
TEXT phantomguest·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ·bootTSC(SB)
	MOVQ	DI, ·bootInfo(SB)
	MOVQ	8(DI), BX
	ADDQ	$0xfff, BX
	ANDQ	$~0xfff, BX
	MOVQ	BX, ·tables(SB)
	LEAQ	BOOT_RESERVE(BX), AX
	CMPQ	AX, 0(DI)
	JHI	tooSmall
	LEAQ	BOOT_STACK0(BX), SP	// the tender's stack goes away with its tables
	LEAQ	0x1007(BX), AX
	MOVQ	AX, 0(BX)
	LEAQ	0x2007(BX), AX
	MOVQ	AX, 0x1000(BX)
	LEAQ	BOOT_RESERVE(BX), CX
	SHRQ	$21, CX
	INCQ	CX
	LEAQ	0x2000(BX), SI
	MOVQ	$0x87, AX
directory:
	MOVQ	AX, 0(SI)
	ADDQ	$0x200000, AX
	ADDQ	$8, SI
	DECQ	CX
	JNZ	directory
	MOVQ	BX, CR3
	// The address of the task state segment goes into its descriptor.
	MOVQ	$·tss(SB), AX
	MOVQ	$·gdt(SB), SI
	MOVW	$(TSS_SIZE-1), 0x38(SI)
	MOVW	AX, 0x3a(SI)
	SHRQ	$16, AX
	MOVB	AX, 0x3c(SI)
	MOVB	$0x89, 0x3d(SI)
	SHRQ	$8, AX
	MOVB	AX, 0x3f(SI)
	MOVQ	$·gdtr(SB), AX
	MOVQ	SI, 2(AX)
	LGDT	(AX)
	MOVQ	$·idt(SB), SI
	MOVQ	$·idtr(SB), AX
	MOVQ	SI, 2(AX)
	LIDT	(AX)
	MOVW	$0x38, AX
	LTR	AX
	// A return to CPL3 clears segment registers whose DPL is lower.
	MOVW	$SEL_DATA3, AX
	MOVW	AX, DS
	MOVW	AX, ES
	MOVW	AX, FS
	MOVW	AX, GS
	// AVX, where the processor offers it.
	MOVL	$1, AX
	XORL	CX, CX
	CPUID
	BTL	$26, CX
	JCC	extended
	MOVQ	CR4, AX
	ORQ	$0x40000, AX
	MOVQ	AX, CR4
	BTL	$28, CX
	JCC	extended
	XORL	CX, CX
	XORL	DX, DX
	MOVL	$7, AX
	XSETBV
extended:
	MOVQ	$·bootTLS(SB), AX
	ADDQ	$16, AX
	MOVL	$MSR_FS_BASE, CX
	XORL	DX, DX
	WRMSR
	// SCE and, if the processor has it, NXE.
	MOVL	$0x80000001, AX
	CPUID
	MOVQ	DX, ·cpuidExt(SB)
	MOVL	DX, SI
	SHRL	$9, SI			// bit 20 (NX) to bit 11 (EFER.NXE)
	ANDL	$0x800, SI
	ORL	$1, SI
	MOVL	$MSR_EFER, CX
	RDMSR
	ORL	SI, AX
	WRMSR
	MOVL	$MSR_STAR, CX
	XORL	AX, AX
	MOVL	$0x00200008, DX
	WRMSR
	MOVL	$MSR_LSTAR, CX
	MOVQ	$phantomguest·lstar(SB), AX
	XORL	DX, DX
	WRMSR
	MOVL	$MSR_SFMASK, CX
	MOVL	$0x47700, AX
	WRMSR
	MOVQ	$·kernStack(SB), AX
	ADDQ	$(KSTACK-64), AX
	PUSHQ	$SEL_DATA3
	PUSHQ	AX
	PUSHQ	$2
	PUSHQ	$SEL_CODE3
	MOVQ	$phantomguest·user(SB), AX
	PUSHQ	AX
	IRETQ

tooSmall:
	// Still on the tender's tables: say so and halt.
	MOVQ	$·msgSmall(SB), AX
	MOVQ	AX, ·argPuts(SB)
	MOVQ	$MSG_SMALL_LEN, ·argPuts+8(SB)
	MOVQ	$·argPuts(SB), AX
	MOVW	$0x502, DX
	OUTL
	MOVL	$EXIT_OOM, ·argHalt+8(SB)
	MOVQ	$·argHalt(SB), AX
	MOVW	$0x508, DX
	OUTL
	HLT

// First code at CPL3: the fake g of the kernel, the rest of the set-up in Go,
// then the Go runtime's own entry.
TEXT phantomguest·user(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	$·kernG(SB), R14
	MOVQ	$·kernStack(SB), AX
	MOVQ	AX, 0(R14)
	ADDQ	$1024, AX
	MOVQ	AX, 16(R14)
	MOVQ	AX, 24(R14)
	ADDQ	$(KSTACK-1024), AX
	MOVQ	AX, 8(R14)
	SET_TLS_R14
	CALL	·boot(SB)		// BP is 0, as the tender left it
	MOVQ	·startSP(SB), SP
	MOVQ	$phantomguest·vclock(SB), AX
	MOVQ	AX, runtime·vdsoClockgettimeSym(SB)
	XORL	AX, AX
	SET_TLS_AX
	JMP	_rt0_amd64_linux(SB)

// func loadAddresses()
// Code addresses that static data needs.
TEXT ·loadAddresses(SB),NOSPLIT,$0-0
	MOVQ	$phantomguest·trap14(SB), AX
	MOVQ	AX, ·vectors+(14*8)(SB)
	MOVQ	$phantomguest·gate(SB), AX
	MOVQ	AX, ·vectors+(3*8)(SB)
	MOVQ	$phantomguest·trap0(SB), AX
	MOVQ	AX, ·vectors+(0*8)(SB)
	MOVQ	$phantomguest·trap4(SB), AX
	MOVQ	AX, ·vectors+(4*8)(SB)
	MOVQ	$phantomguest·trap6(SB), AX
	MOVQ	AX, ·vectors+(6*8)(SB)
	MOVQ	$phantomguest·trap7(SB), AX
	MOVQ	AX, ·vectors+(7*8)(SB)
	MOVQ	$phantomguest·trap8(SB), AX
	MOVQ	AX, ·vectors+(8*8)(SB)
	MOVQ	$phantomguest·trap13(SB), AX
	MOVQ	AX, ·vectors+(13*8)(SB)
	MOVQ	$phantomguest·trap16(SB), AX
	MOVQ	AX, ·vectors+(16*8)(SB)
	MOVQ	$phantomguest·trap17(SB), AX
	MOVQ	AX, ·vectors+(17*8)(SB)
	MOVQ	$phantomguest·trap19(SB), AX
	MOVQ	AX, ·vectors+(19*8)(SB)
	MOVQ	$phantomguest·trap3pl(SB), AX
	MOVQ	AX, ·trapEntry(SB)
	MOVQ	$phantomguest·gateCall(SB), AX
	INCQ	AX
	MOVQ	AX, ·gateFrom(SB)
	MOVQ	$phantomguest·syscall(SB), AX	// keeps the linker from dropping it
	MOVQ	AX, ·syscallEntry(SB)
	MOVQ	$runtime·text(SB), AX
	MOVQ	AX, ·textLo(SB)
	MOVQ	$runtime·etext(SB), AX
	MOVQ	AX, ·textHi(SB)
	MOVQ	$runtime·rodata(SB), AX
	MOVQ	AX, ·rodataLo(SB)
	MOVQ	$runtime·epclntab(SB), AX
	MOVQ	AX, ·dataLo(SB)
	MOVQ	$runtime·end(SB), AX
	MOVQ	AX, ·imageEnd(SB)
	RET
