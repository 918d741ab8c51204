// Numbers that the assembly shares with the Go files; a test compares them.

// Offsets in type thread.
#define T_RSP 0
#define T_RIP 8
#define T_AX 16
#define T_BX 24
#define T_DX 32
#define T_SI 40
#define T_DI 48
#define T_BP 56
#define T_R8 64
#define T_R9 72
#define T_R10 80
#define T_R12 88
#define T_R13 96
#define T_R14 104
#define T_R15 112
#define T_TLS 120

// Offsets in type trapState.
#define S_BX 0
#define S_CX 8
#define S_DX 16
#define S_SI 24
#define S_DI 32
#define S_BP 40
#define S_R8 48
#define S_R9 56
#define S_R10 64
#define S_R11 72
#define S_R12 80
#define S_R13 88
#define S_R14 96
#define S_R15 104
#define S_TLS 112

#define KSTACK 65536
#define TRAP_STACK 32768
#define IST_SIZE 4096
#define TSS_SIZE 0x268
#define SEL_CODE3 0x33
#define SEL_DATA3 0x2b

// Behind the kernel's end: tables, the stack of the boot code, the first stack
// of the Go runtime.
#define BOOT_STACK0 0x10000
#define BOOT_RESERVE 0x60000
#define EXIT_OOM 251
#define MSG_SMALL_LEN 44

#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100

// The runtime's g at -8(FS). Spelled out, because the assembler's (TLS) does
// not work in position-independent programs, which may import this package too.
#define FS_MINUS_8(op, modrm) BYTE $0x64; BYTE $op; BYTE $0x89; BYTE $modrm; BYTE $0x25; LONG $0xfffffff8
#define SET_TLS_AX FS_MINUS_8(0x48, 0x04)
#define SET_TLS_CX FS_MINUS_8(0x48, 0x0c)
#define SET_TLS_R14 FS_MINUS_8(0x4c, 0x34)
#define GET_TLS_CX BYTE $0x64; BYTE $0x48; BYTE $0x8b; BYTE $0x0c; BYTE $0x25; LONG $0xfffffff8
