package bytecode_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"phantomvm/bytecode"
)

const source = `
module answer
entry main
type int int
global result int

func main frame=6 args=0 results=0 {
	maps auto
	ldi  r3, 6
	muli r3, r3, 7
	ldg  r4, result
	st64 r3, r4, 0
	ret
}
`

// From text to a file and back to text.
func Example() {
	m, err := bytecode.Assemble(source)
	if err != nil {
		log.Fatal(err)
	}
	file, err := bytecode.Encode(m)
	if err != nil {
		log.Fatal(err)
	}
	m, err = bytecode.Decode(file)
	if err != nil {
		log.Fatal(err)
	}
	if err := bytecode.Verify(m); err != nil {
		log.Fatal(err)
	}
	if err := bytecode.Disassemble(m, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// module answer go="" source="0000000000000000000000000000000000000000000000000000000000000000"
	// globals 8
	// entry main
	// type int int size=8 align=8 comparable ; #1
	// global result int at=0
	//
	// func main frame=6 args=0 results=0 { ; #1
	// 	map ; #0
	// 	point #0 ; no pointers
	// 	LDI       r3, 6                          ; 0
	// 	MULI      r3, r3, 7                      ; 1
	// 	LDG       r4, 0                          ; 2 "result"+0
	// 	ST64      r3, r4, 0                      ; 4
	// 	RET                                      ; 5
	// }
}

func ExampleVerify() {
	m, err := bytecode.Assemble("entry main\nfunc main frame=3 args=0 results=0 {\npoint\nLDI r3, 1\nRET\n}")
	if err != nil {
		log.Fatal(err)
	}
	var fault *bytecode.VerifyError
	if err := bytecode.Verify(m); errors.As(err, &fault) {
		fmt.Println(fault.Rule, fault.PC)
		fmt.Println(err)
	}
	// Output:
	// slot 0
	// module is invalid: function 1 "main", pc 0: LDI: writes slots 3 to 3 of a frame of 3 (rule slot)
}
