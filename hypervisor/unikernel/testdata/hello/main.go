// Hello prints its arguments.
package main

import (
	"fmt"
	"os"

	"phantomvm/hypervisor/guest"
)

func main() {
	fmt.Printf("hello %v %q\n", guest.Active(), os.Args[1:])
}
