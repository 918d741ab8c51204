package bytecode

import (
	"errors"
	"fmt"
)

// verifyTypes checks all types and returns their layouts.
func verifyTypes(m *Module) ([]Layout, error) {
	for i := 1; i < len(m.Types); i++ {
		if err := verifyTypeRefs(m, TypeID(i)); err != nil {
			return nil, nameType(m, err)
		}
	}
	layouts, err := m.Layouts()
	if err != nil {
		return nil, nameType(m, err)
	}
	for i := 1; i < len(m.Types); i++ {
		if err := verifyLayout(&m.Types[i], TypeID(i), &layouts[i]); err != nil {
			return nil, nameType(m, err)
		}
	}
	for i := 1; i < len(m.Types); i++ {
		if t := &m.Types[i]; t.Kind == Map && !layouts[t.Key].Comparable {
			return nil, nameType(m, typeError(RuleTypeKind, TypeID(i), "the map's key is not comparable"))
		}
	}
	return layouts, nil
}

// nameType adds the type's name to an error about it.
func nameType(m *Module, err error) error {
	var e *VerifyError
	if errors.As(err, &e) && int64(e.Type) < int64(len(m.Types)) {
		e.Name = m.Types[e.Type].Name
	}
	return err
}

// verifyTypeRefs checks references and that only the fields that belong to the kind are set.
func verifyTypeRefs(m *Module, id TypeID) error {
	t := &m.Types[id]
	fail := func(rule Rule, format string, args ...any) error {
		return typeError(rule, id, fmt.Sprintf(format, args...))
	}
	inRange := func(ref TypeID) bool { return ref != 0 && int64(ref) < int64(len(m.Types)) }
	if max(len(t.Fields), len(t.In), len(t.Out), len(t.IMethods), len(t.Methods)) > MaxTypeParts {
		return fail(RuleLimits, "too many fields, parameters or methods")
	}
	hasElem := t.Kind == Array || t.Kind == Chan || t.Kind == Map || t.Kind == Pointer || t.Kind == Slice
	if hasElem && !inRange(t.Elem) || t.Kind == Map && !inRange(t.Key) {
		return fail(RuleTypeRef, "element type %d or key type %d does not exist", t.Elem, t.Key)
	}
	for _, list := range [][]TypeID{t.In, t.Out} {
		for _, p := range list {
			if !inRange(p) {
				return fail(RuleTypeRef, "parameter type %d does not exist", p)
			}
		}
	}
	if t.PtrTo != 0 && (!inRange(t.PtrTo) || m.Types[t.PtrTo].Kind != Pointer || m.Types[t.PtrTo].Elem != id) {
		return fail(RuleTypeRef, "type %d is not the pointer to it", t.PtrTo)
	}
	switch {
	case !hasElem && t.Elem != 0, t.Kind != Map && t.Key != 0, t.Kind != Array && t.Len != 0,
		t.Kind != Struct && len(t.Fields) != 0, t.Kind != Interface && len(t.IMethods) != 0,
		t.Kind == Interface && len(t.Methods) != 0,
		t.Kind != FuncKind && (len(t.In)+len(t.Out) != 0 || t.Variadic):
		return fail(RuleTypeKind, "has parts that its kind does not have")
	case t.Kind == Chan && (t.Dir < 1 || t.Dir > 3), t.Kind != Chan && t.Dir != 0:
		return fail(RuleTypeKind, "direction %d", t.Dir)
	case t.Variadic && (len(t.In) == 0 || m.Types[t.In[len(t.In)-1]].Kind != Slice):
		return fail(RuleTypeKind, "variadic, but its last parameter is not a slice")
	}
	return verifyMethodLists(m, t, id)
}

func verifyMethodLists(m *Module, t *Type, id TypeID) error {
	isFunc := func(ref TypeID) bool { return int64(ref) < int64(len(m.Types)) && m.Types[ref].Kind == FuncKind }
	for i := range t.IMethods {
		im := &t.IMethods[i]
		if !isFunc(im.Type) {
			return typeError(RuleMethods, id, "type of method "+im.Name+" is not a function type")
		}
		if i > 0 && !MethodLess(t.IMethods[i-1].Name, t.IMethods[i-1].PkgPath, im.Name, im.PkgPath) {
			return typeError(RuleMethods, id, "methods are not sorted at "+im.Name)
		}
	}
	for i := range t.Methods {
		me := &t.Methods[i]
		if !isFunc(me.Type) && (me.Type != 0 || me.Ifn != 0 || me.Tfn != 0) {
			return typeError(RuleMethods, id, "type of method "+me.Name+" is not a function type")
		}
		if i > 0 && !MethodLess(t.Methods[i-1].Name, t.Methods[i-1].PkgPath, me.Name, me.PkgPath) {
			return typeError(RuleMethods, id, "methods are not sorted at "+me.Name)
		}
	}
	return nil
}

func verifyLayout(t *Type, id TypeID, l *Layout) error {
	switch {
	case t.Size != l.Size || t.Align != l.Align:
		return typeError(RuleTypeSize, id, fmt.Sprintf("size %d, align %d; should be %d, %d", t.Size, t.Align, l.Size, l.Align))
	case t.Comparable != l.Comparable:
		return typeError(RuleTypeKind, id, fmt.Sprintf("comparable %t; should be %t", t.Comparable, l.Comparable))
	}
	for i := range t.Fields {
		if t.Fields[i].Offset != l.Offsets[i] {
			return typeError(RuleTypeField, id, fmt.Sprintf("field %s at %d; should be at %d", t.Fields[i].Name, t.Fields[i].Offset, l.Offsets[i]))
		}
	}
	return nil
}

// methods compares the functions of concrete types' methods with the methods' types.
func (v *verifier) methods() error {
	type signature struct{ in, out int }
	sigs := make([]signature, len(v.m.Types))
	for i := 1; i < len(v.m.Types); i++ {
		sigs[i] = signature{v.slots(v.m.Types[i].In), v.slots(v.m.Types[i].Out)}
	}
	for i := 1; i < len(v.m.Types); i++ {
		t := &v.m.Types[i]
		for k := range t.Methods {
			me := &t.Methods[k]
			if me.Ifn == 0 && me.Tfn == 0 {
				continue
			}
			args, results := sigs[me.Type].in, sigs[me.Type].out
			if err := v.methodFunc(TypeID(i), me.Name, me.Ifn, 1+args, results); err != nil {
				return err
			}
			if err := v.methodFunc(TypeID(i), me.Name, me.Tfn, int(v.layouts[i].Slots)+args, results); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) slots(list []TypeID) int {
	n := 0
	for _, id := range list {
		n += int(v.layouts[id].Slots)
	}
	return n
}

func (v *verifier) methodFunc(id TypeID, name string, fn FuncID, args, results int) error {
	if fn == 0 {
		return nil
	}
	if !v.funcOK(fn) {
		return nameType(v.m, typeError(RuleMethods, id, fmt.Sprintf("method %s is function %d, which does not exist", name, fn)))
	}
	if f := &v.m.Funcs[fn]; int(f.Args) != args || int(f.Results) != results {
		return nameType(v.m, typeError(RuleMethods, id, fmt.Sprintf("method %s: function %q takes %d slots and returns %d; should be %d and %d",
			name, f.Name, f.Args, f.Results, args, results)))
	}
	return nil
}
