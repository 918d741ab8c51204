// Huge changes 160 MiB in one instruction.
package main

import (
	"fmt"
	"time"
)

func main() {
	fmt.Println("before")
	time.Sleep(200 * time.Millisecond)
	b := make([]byte, 160<<20)
	for i := range b {
		if i%4096 == 0 {
			b[i] = 1
		}
	}
	time.Sleep(100 * time.Millisecond)
	copy(b[1:], b) // one instruction
	n := 0
	for i := 0; i < len(b); i += 4096 {
		n += int(b[min(i+1, len(b)-1)]) * 4096
	}
	fmt.Println("after", n)
}
