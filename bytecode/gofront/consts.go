package gofront

import (
	"go/constant"
	"go/types"
	"math"

	"golang.org/x/tools/go/ssa"
)

// constBits is the slot of a scalar constant.
func constBits(c *ssa.Const, k repKind) uint64 {
	v := c.Value
	switch {
	case v == nil:
		return 0
	case v.Kind() == constant.Bool:
		if constant.BoolVal(v) {
			return 1
		}
		return 0
	case k == kF64:
		f, _ := constant.Float64Val(constant.ToFloat(v))
		return math.Float64bits(f)
	case k == kF32:
		f, _ := constant.Float32Val(constant.ToFloat(v))
		return uint64(math.Float32bits(f))
	case k == kC64:
		x := constant.ToComplex(v)
		re, _ := constant.Float32Val(constant.Real(x))
		im, _ := constant.Float32Val(constant.Imag(x))
		return uint64(math.Float32bits(re)) | uint64(math.Float32bits(im))<<32
	}
	x := constant.ToInt(v)
	if i, ok := constant.Int64Val(x); ok {
		return truncate(uint64(i), k)
	}
	u, _ := constant.Uint64Val(x)
	return truncate(u, k)
}

// truncate brings a number to the form in which a slot holds it.
func truncate(x uint64, k repKind) uint64 {
	switch k {
	case kI8:
		return uint64(int64(int8(x)))
	case kI16:
		return uint64(int64(int16(x)))
	case kI32:
		return uint64(int64(int32(x)))
	case kU8:
		return uint64(uint8(x))
	case kU16:
		return uint64(uint16(x))
	case kU32:
		return uint64(uint32(x))
	}
	return x
}

func complexBits(c *ssa.Const) (re, im uint64) {
	x := constant.ToComplex(c.Value)
	r, _ := constant.Float64Val(constant.Real(x))
	i, _ := constant.Float64Val(constant.Imag(x))
	return math.Float64bits(r), math.Float64bits(i)
}

// constString is the value of a string constant; go/ssa also gives a string type to integer constants.
func constString(c *ssa.Const) string {
	if c.Value.Kind() == constant.String {
		return constant.StringVal(c.Value)
	}
	i, ok := constant.Int64Val(constant.ToInt(c.Value))
	if !ok {
		i = 0xfffd
	}
	return string(rune(i))
}

func constInt(v ssa.Value) (int64, bool) {
	c, ok := v.(*ssa.Const)
	if !ok || c.Value == nil {
		return 0, false
	}
	b, ok := c.Type().Underlying().(*types.Basic)
	if !ok || b.Info()&types.IsInteger == 0 {
		return 0, false
	}
	x := constant.ToInt(c.Value)
	if i, ok := constant.Int64Val(x); ok {
		return i, true
	}
	return 0, false
}
