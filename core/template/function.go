package template

import (
	"errors"
	"fmt"
	"sort"
)

// function is one function of the language: its signature, which Compile checks
// calls against, and what it does.
type function struct {
	params []types // the fixed parameters
	// optional is how many of the last params may be left out.
	optional int
	// rest is the type of further arguments; 0 where there are none.
	rest types
	// result is what it yields; resultOf refines that by the arguments' types where set.
	result   types
	resultOf func(args []types) types
	// literal says that the first argument must be written in the template as a
	// string: texts of users are never a format or a pattern.
	literal bool
	// deep says that it walks its arguments to the bottom, so that their whole size counts as work.
	deep bool
	// call gets arguments of the declared types, as many as declared. Its errors
	// never hold a value, since that may be a secret.
	call func(c *call) (any, error)
}

// call is one call of a function.
type call struct {
	*machine
	args []any
}

func (c *call) str(i int) string         { return c.args[i].(string) }
func (c *call) int(i int) int64          { return c.args[i].(int64) }
func (c *call) list(i int) []any         { return c.args[i].([]any) }
func (c *call) obj(i int) map[string]any { return c.args[i].(map[string]any) }

// userError is what fail and required raise: its text is for the user.
type userError struct{ message string }

func (e *userError) Error() string { return e.message }

// arity says in words how many arguments f takes.
func (f *function) arity() string {
	least, most := len(f.params)-f.optional, len(f.params)
	switch {
	case f.rest != 0:
		return fmt.Sprintf("at least %d %s", least, plural(least, "argument"))
	case least == most:
		return fmt.Sprintf("%d %s", most, plural(most, "argument"))
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// takes tells whether f can be called with n arguments.
func (f *function) takes(n int) bool {
	return n >= len(f.params)-f.optional && (n <= len(f.params) || f.rest != 0)
}

// param is the type of argument i.
func (f *function) param(i int) types {
	if i < len(f.params) {
		return f.params[i]
	}
	return f.rest
}

// prepare checks the arguments of a call and converts them, in a new slice.
func (f *function) prepare(args []any) ([]any, error) {
	if !f.takes(len(args)) {
		return nil, fmt.Errorf("it takes %s and got %d", f.arity(), len(args))
	}
	out := make([]any, len(args))
	for i, a := range args {
		v, want := plain(a), f.param(i)
		t := typeOf(v)
		if t == tFloat && want&tNumber == tInt {
			if n, err := wholeNumber(v.(float64)); err == nil {
				v, t = n, tInt
			}
		}
		if t == tInt && want&tNumber == tFloat {
			v, t = float64(v.(int64)), tFloat
		}
		switch {
		case t == tNull && want&tNull == 0:
			return nil, fmt.Errorf("argument %d is null and must be %s (use default)", i+1, want)
		case t&want == 0:
			return nil, fmt.Errorf("argument %d is %s and must be %s", i+1, t, want)
		}
		out[i] = v
	}
	return out, nil
}

// cost is the work of a call, from its prepared arguments.
func (f *function) cost(args []any) (int, error) {
	cost := 1
	for _, a := range args {
		if f.deep {
			n, err := sizeOf(a)
			if err != nil {
				return 0, err
			}
			cost += n
			continue
		}
		switch t := a.(type) {
		case string:
			cost += len(t)
		case []any:
			cost += len(t)
		case map[string]any:
			cost += len(t)
		}
	}
	return cost, nil
}

var errTooMuchWork = errors.New("the template does too much work with this data")

// apply calls f within the machine's budget.
func (m *machine) apply(f *function, args []any) (any, error) {
	args, err := f.prepare(args)
	if err != nil {
		return nil, err
	}
	cost, err := f.cost(args)
	if err != nil {
		return nil, err
	}
	if err := m.spend(cost); err != nil {
		return nil, err
	}
	v, err := f.call(&call{machine: m, args: args})
	if err != nil {
		return nil, err
	}
	v = plain(v)
	// Measuring every value where it is made bounds all later walks, also those of
	// values that hold one list many times over.
	size, err := sizeOf(v)
	if err != nil {
		return nil, err
	}
	return v, m.spend(size)
}

// functions is the whole language; the map never changes after init.
var functions = collect(logicFunctions, textFunctions, patternFunctions, numberFunctions,
	listFunctions, mappingFunctions, encodingFunctions, addressFunctions, secretFunctions)

func collect(groups ...map[string]*function) map[string]*function {
	all := map[string]*function{}
	for _, g := range groups {
		for name, f := range g {
			if all[name] != nil {
				panic("function " + name + " is defined twice")
			}
			all[name] = f
		}
	}
	return all
}

// FunctionNames lists the functions of the language, sorted: and, or and not too,
// which are text/template's own.
func FunctionNames() []string {
	names := make([]string, 0, len(functions))
	for name := range functions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
