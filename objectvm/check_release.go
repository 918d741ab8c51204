//go:build !phantomdebug

package objectvm

func (vm *VM) check() {}

func (vm *VM) checkMarks() {}
