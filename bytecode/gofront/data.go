package gofront

import (
	"encoding/binary"
	"fmt"
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Data of the module: variables, constants, itabs, natives.

func (c *linker) globalOffset(g *ssa.Global) uint64 {
	g = c.prog.LinkGlobal(g)
	if off, ok := c.globals[g]; ok {
		return off
	}
	c.liveVars[g] = true
	t := elemOf(g.Type())
	c.layouts.of(t) // refuses what is too large
	off := alignUp(c.mod.GlobalsSize, uint64(max(c.layouts.sizes.Alignof(t), 1)))
	c.mod.GlobalsSize = off + uint64(c.layouts.sizes.Sizeof(t))
	c.globals[g] = off
	name := g.Name()
	if g.Pkg != nil {
		name = pkgPath(g.Pkg.Pkg) + "." + name
	}
	c.mod.Globals = append(c.mod.Globals, bytecode.Global{Name: name, Type: c.typeID(t), Offset: off})
	return off
}

func (c *linker) stringRef(s string) uint64 {
	off, ok := c.strings[s]
	if !ok {
		off = uint64(len(c.mod.RO))
		c.mod.RO = append(c.mod.RO, s...)
		c.strings[s] = off
	}
	return bytecode.StrRef(uint32(off), uint32(len(s)))
}

// constRef is the place of a number in the read-only blob.
func (c *linker) constRef(bits uint64) uint64 {
	if off, ok := c.consts[bits]; ok {
		return off
	}
	c.alignRO()
	off := uint64(len(c.mod.RO))
	c.mod.RO = binary.LittleEndian.AppendUint64(c.mod.RO, bits)
	c.consts[bits] = off
	return off
}

// byteTable holds the numbers 0 to 255, for small values in interfaces.
func (c *linker) byteTable() uint64 {
	if c.bytesAt == 0 {
		c.alignRO()
		if len(c.mod.RO) == 0 {
			c.mod.RO = append(c.mod.RO, make([]byte, 8)...)
		}
		c.bytesAt = uint64(len(c.mod.RO))
		for i := range uint64(256) {
			c.mod.RO = binary.LittleEndian.AppendUint64(c.mod.RO, i)
		}
	}
	return c.bytesAt
}

func (c *linker) alignRO() {
	for len(c.mod.RO)%8 != 0 {
		c.mod.RO = append(c.mod.RO, 0)
	}
}

func (c *linker) itabID(iface, t types.Type) uint64 {
	k := bytecode.Itab{Iface: c.typeID(iface), Type: c.typeID(t)}
	id, ok := c.itabs[k]
	if !ok {
		id = uint64(len(c.mod.Itabs))
		c.mod.Itabs = append(c.mod.Itabs, k)
		c.itabs[k] = id
	}
	return id
}

func (c *linker) nativeID(name string, args, results int) uint64 {
	id, ok := c.natives[name]
	if !ok {
		if c.isKnown != nil && !c.isKnown(name) {
			c.fail(c.pos(), fmt.Sprintf("call of %s, which has no body and which the virtual machine does not provide", name))
		}
		id = uint64(len(c.mod.Natives))
		c.mod.Natives = append(c.mod.Natives, bytecode.NativeRef{Name: name, Args: uint16(args), Results: uint16(results)})
		c.natives[name] = id
	}
	return id
}

// closureType is the type of a funcval that captures values of these types.
func (c *linker) closureType(ts []types.Type) *types.Struct {
	st := closureStruct(ts)
	if o, ok := c.closures.At(st).(*types.Struct); ok {
		return o
	}
	c.closures.Set(st, st)
	return st
}
