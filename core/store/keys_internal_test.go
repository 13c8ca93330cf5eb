package store

// SealedColumns are what a rewrap goes through, as table.column.
func SealedColumns() map[string]bool {
	got := map[string]bool{}
	for _, st := range sealedTables {
		for _, column := range append(append([]string{}, st.blobs...), st.texts...) {
			got[st.name+"."+column] = true
		}
	}
	return got
}
