// Package guest makes an ordinary Go program a unikernel.
package guest

import "phantomvm/hypervisor/guest/internal/kern"

// Active tells whether the program runs as a unikernel.
func Active() bool { return kern.Active() }
