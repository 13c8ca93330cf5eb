package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// filled sets every exported field of the struct that v points to, also those
// that are added one day, to a value that occurs once. A field that a store
// forgets shows in the comparison.
func filled[T any](v *T, id string) *T {
	n := 0
	fill(reflect.ValueOf(v).Elem(), id, &n)
	return v
}

var (
	rawType  = reflect.TypeFor[json.RawMessage]()
	timeType = reflect.TypeFor[time.Time]()
	byteType = reflect.TypeFor[[]byte]()
)

func fill(v reflect.Value, id string, n *int) {
	*n++
	switch v.Type() {
	case rawType: // canonical, with what careless encoders change
		v.SetBytes([]byte(fmt.Sprintf("{\"html\":\"<&>\",\"id\":\"%s\",\"n\":%d,\"separator\":\"\u2028\",\"word\":\"größe\"}", id, *n)))
		return
	case timeType:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 123456000+*n*1000, time.UTC)))
		return
	case byteType:
		v.SetBytes([]byte{0, 255, byte(*n), '\n'})
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s'%d\"ß", id, *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) + 1<<20)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), id, n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), id, n)
		fill(v.Index(1), id, n)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), id, n)
			}
		}
	default:
		panic(fmt.Sprintf("storetest: no values of type %s", v.Type()))
	}
}
