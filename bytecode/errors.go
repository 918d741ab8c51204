package bytecode

import (
	"errors"
	"fmt"
)

// Errors of Decode, Encode and Verify; the errors that they return wrap one of these.
var (
	ErrNotModule = errors.New("not a phantom module")
	ErrTruncated = errors.New("module is truncated")
	ErrChecksum  = errors.New("module's checksum is wrong")
	ErrVersion   = errors.New("module needs a newer version")
	ErrLimit     = errors.New("module exceeds a limit")
	ErrMalformed = errors.New("module is malformed")
	ErrInvalid   = errors.New("module is invalid")
)

// FormatError says where in a container the fault is.
type FormatError struct {
	Err     error  // one of the sentinels above
	Section string // "header" or a section's name
	Offset  int    // in the section
	Reason  string
}

func (e *FormatError) Error() string {
	s := fmt.Sprintf("%v: %s, byte %d", e.Err, e.Section, e.Offset)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

func (e *FormatError) Unwrap() error { return e.Err }

// Rule names a promise that Verify checks; docs/bytecode.md explains each.
type Rule string

// Rules about the module and its tables.
const (
	RuleLimits    Rule = "limits"
	RuleHook      Rule = "hook"
	RuleGlobal    Rule = "global"
	RuleItab      Rule = "itab"
	RuleNative    Rule = "native"
	RuleTypeRef   Rule = "type-ref"
	RuleTypeKind  Rule = "type-kind"
	RuleTypeCycle Rule = "type-cycle"
	RuleTypeSize  Rule = "type-size"
	RuleTypeField Rule = "type-field"
	RuleMethods   Rule = "methods"
)

// Rules about functions and their code.
const (
	RuleFrame     Rule = "frame"
	RuleOpcode    Rule = "opcode"
	RuleReserved  Rule = "reserved-bits"
	RuleSlot      Rule = "slot"
	RuleFrameByte Rule = "frame-byte"
	RuleOperand   Rule = "operand"
	RuleExt       Rule = "ext"
	RuleExtType   Rule = "ext-type"
	RuleBranch    Rule = "branch"
	RuleFallOff   Rule = "fall-off"
	RuleCall      Rule = "call"
	RuleReturn    Rule = "return"
	RuleRunDefers Rule = "rundefers"
	RuleRecover   Rule = "recover-point"
	RulePoints    Rule = "points"
	RuleCalls     Rule = "calls"
	RuleBitmap    Rule = "bitmap"
	RuleAlways    Rule = "always"
	RuleLines     Rule = "lines"
	RuleVars      Rule = "vars"
)

// VerifyError says which rule a module breaks and where. Func is 0 for faults outside functions, Type 0 for faults that concern no type.
type VerifyError struct {
	Rule   Rule
	Func   FuncID
	Name   string // of the function or type
	PC     int    // word index, -1 if the fault has no place in the code
	Type   TypeID
	Reason string
}

func (e *VerifyError) Error() string {
	where := ""
	switch {
	case e.Func != 0 && e.PC >= 0:
		where = fmt.Sprintf("function %d %q, pc %d: ", e.Func, e.Name, e.PC)
	case e.Func != 0:
		where = fmt.Sprintf("function %d %q: ", e.Func, e.Name)
	case e.Type != 0:
		where = fmt.Sprintf("type %d %q: ", e.Type, e.Name)
	}
	return fmt.Sprintf("%v: %s%s (rule %s)", ErrInvalid, where, e.Reason, e.Rule)
}

func (e *VerifyError) Unwrap() error { return ErrInvalid }

func typeError(rule Rule, id TypeID, reason string) error {
	return &VerifyError{Rule: rule, PC: -1, Type: id, Reason: reason}
}

func moduleError(rule Rule, format string, args ...any) error {
	return &VerifyError{Rule: rule, PC: -1, Reason: fmt.Sprintf(format, args...)}
}
