package main

import (
	"fmt"
	"os"
	"time"
)

// progress says on a terminal what is being done and for how long, once it has taken a second. The function that it
// returns ends that.
func progress(what string) (done func()) {
	st, err := os.Stderr.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		shown := false
		for began := time.Now(); ; {
			select {
			case <-quit:
				if shown {
					fmt.Fprint(os.Stderr, "\r\x1b[K")
				}
				return
			case <-time.After(time.Second):
				shown = true
				fmt.Fprintf(os.Stderr, "\rphantom-vm: %s, %d s", what, int(time.Since(began).Seconds()))
			}
		}
	}()
	return func() { close(quit); <-gone }
}
