package template

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// numberFunctions convert and calculate. Unlike sprig's, they refuse what is not a
// number instead of reading it as 0, and overflow is an error.
var numberFunctions = map[string]*function{
	"int":     {params: []types{tBool | tNumber | tString}, result: tInt, call: func(c *call) (any, error) { return toInt(c.args[0]) }},
	"int64":   {params: []types{tBool | tNumber | tString}, result: tInt, call: func(c *call) (any, error) { return toInt(c.args[0]) }},
	"atoi":    {params: []types{tString}, result: tInt, call: func(c *call) (any, error) { return toInt(c.args[0]) }},
	"float64": {params: []types{tNumber | tString}, result: tFloat, call: func(c *call) (any, error) { return toFloat(c.args[0]) }},
	"bool":    {params: []types{tBool | tString}, result: tBool, call: func(c *call) (any, error) { return toBool(c.args[0]) }},
	"toDecimal": {params: []types{tInt | tString}, result: tInt, call: func(c *call) (any, error) {
		s, err := text(c.args[0])
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(s, 8, 64)
		if err != nil {
			return nil, errors.New("the text is not an octal number")
		}
		return n, nil
	}},

	"add":  integers(plus),
	"mul":  integers(multiply),
	"max":  integers(func(a, b int64) (int64, error) { return max(a, b), nil }),
	"min":  integers(func(a, b int64) (int64, error) { return min(a, b), nil }),
	"add1": {params: []types{tInt}, result: tInt, call: func(c *call) (any, error) { return plus(c.int(0), 1) }},
	"sub":  twoIntegers(minus),
	"div":  twoIntegers(quotient),
	"mod":  twoIntegers(remainder),

	"addf": fractions(func(a, b float64) (float64, error) { return a + b, nil }),
	"subf": fractions(func(a, b float64) (float64, error) { return a - b, nil }),
	"mulf": fractions(func(a, b float64) (float64, error) { return a * b, nil }),
	"divf": fractions(func(a, b float64) (float64, error) {
		if b == 0 {
			return 0, errDivision
		}
		return a / b, nil
	}),
	"ceil":  {params: []types{tFloat}, result: tFloat, call: func(c *call) (any, error) { return math.Ceil(c.args[0].(float64)), nil }},
	"floor": {params: []types{tFloat}, result: tFloat, call: func(c *call) (any, error) { return math.Floor(c.args[0].(float64)), nil }},
	"round": {params: []types{tFloat, tInt}, result: tFloat, call: func(c *call) (any, error) {
		if c.int(1) < 0 || c.int(1) > 15 {
			return nil, errors.New("the number of places must be 0 to 15")
		}
		scale := math.Pow10(int(c.int(1)))
		f := c.args[0].(float64)
		if math.Abs(f)*scale >= 1<<53 {
			return f, nil // it has no digits behind that place
		}
		return fifteenDigits(math.Round(f*scale) / scale)
	}},

	"until": {params: []types{tInt}, result: tList, call: func(c *call) (any, error) {
		step := int64(1)
		if c.int(0) < 0 {
			step = -1
		}
		return steps(0, c.int(0), step)
	}},
	"untilStep": {params: []types{tInt, tInt, tInt}, result: tList,
		call: func(c *call) (any, error) { return steps(c.int(0), c.int(1), c.int(2)) }},
}

var (
	errOverflow = errors.New("the result is too large for an integer")
	errDivision = errors.New("division by zero")
	errNoNumber = errors.New("the text is not a number")
	errNotWhole = errors.New("the number is not a whole number that fits into 64 bits")
)

// toInt reads a whole number; fractions are cut as sprig does, text must be one.
func toInt(v any) (int64, error) {
	switch t := v.(type) {
	case bool:
		if t {
			return 1, nil
		}
		return 0, nil
	case int64:
		return t, nil
	case float64:
		return wholeNumber(math.Trunc(t))
	}
	s := strings.TrimSpace(v.(string))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) {
		return wholeNumber(f)
	}
	return 0, errNoNumber
}

func wholeNumber(f float64) (int64, error) {
	if f != math.Trunc(f) || f < math.MinInt64 || f >= math.MaxInt64 {
		return 0, errNotWhole
	}
	return int64(f), nil
}

func toFloat(v any) (float64, error) {
	switch t := v.(type) {
	case int64:
		return float64(t), nil
	case float64:
		return t, nil
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(v.(string)), 64)
	if err != nil {
		return 0, errNoNumber
	}
	return f, nil
}

func toBool(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	switch strings.ToLower(strings.TrimSpace(v.(string))) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, errors.New("the text is neither true nor false")
}

// integers folds f over one or more numbers.
func integers(f func(a, b int64) (int64, error)) *function {
	return &function{params: []types{tInt}, rest: tInt, result: tInt, call: func(c *call) (any, error) {
		n := c.int(0)
		for i := 1; i < len(c.args); i++ {
			var err error
			if n, err = f(n, c.int(i)); err != nil {
				return nil, err
			}
		}
		return n, nil
	}}
}

func twoIntegers(f func(a, b int64) (int64, error)) *function {
	return &function{params: []types{tInt, tInt}, result: tInt,
		call: func(c *call) (any, error) { return f(c.int(0), c.int(1)) }}
}

func plus(a, b int64) (int64, error) {
	if s := a + b; (s > a) == (b > 0) {
		return s, nil
	}
	return 0, errOverflow
}

func minus(a, b int64) (int64, error) {
	if d := a - b; (d < a) == (b > 0) {
		return d, nil
	}
	return 0, errOverflow
}

func multiply(a, b int64) (int64, error) {
	if a == 0 || b == 0 {
		return 0, nil
	}
	p := a * b
	if p/b != a || (a == -1 && b == math.MinInt64) || (b == -1 && a == math.MinInt64) {
		return 0, errOverflow
	}
	return p, nil
}

func quotient(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errDivision
	}
	if a == math.MinInt64 && b == -1 {
		return 0, errOverflow
	}
	return a / b, nil
}

func remainder(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errDivision
	}
	return a % b, nil
}

// fractions folds f over numbers. The result is rounded to the 15 digits that
// float64 keeps, so that 0.1 + 0.2 is 0.3.
func fractions(f func(a, b float64) (float64, error)) *function {
	return &function{params: []types{tFloat}, rest: tFloat, result: tFloat, call: func(c *call) (any, error) {
		n := c.args[0].(float64)
		for _, a := range c.args[1:] {
			var err error
			if n, err = f(n, a.(float64)); err != nil {
				return nil, err
			}
		}
		return fifteenDigits(n)
	}}
}

func fifteenDigits(f float64) (float64, error) {
	return strconv.ParseFloat(strconv.FormatFloat(f, 'g', 15, 64), 64)
}

// steps lists the numbers from start to before stop.
func steps(start, stop, step int64) (any, error) {
	if step == 0 || (stop > start) != (step > 0) {
		return []any{}, nil
	}
	l := []any{}
	for n := start; (step > 0 && n < stop) || (step < 0 && n > stop); {
		if l = append(l, n); len(l) > maxSteps {
			return nil, fmt.Errorf("the list has more than %d elements", maxSteps)
		}
		next, err := plus(n, step)
		if err != nil {
			break
		}
		n = next
	}
	return l, nil
}

const maxSteps = 10_000
