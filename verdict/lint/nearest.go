package lint

import "strings"

// nearest is the one name that the given one was probably meant to be: equal but
// for case and separators, or at most two letters away (one for short names).
// Where two are equally near, or none is, it is false.
func nearest(name string, known []string) (string, bool) {
	best, found, tie := 3, "", false
	for _, k := range known {
		d := distance(plain(name), plain(k))
		if limit := min(2, len(name)/4); d > limit || k == name || numbered(name, k) {
			continue
		}
		switch {
		case d < best:
			best, found, tie = d, k, false
		case d == best && k != found:
			tie = true
		}
	}
	return found, found != "" && !tie
}

// numbered reports whether two names differ only in digits or in a letter behind a
// last dash, as those of two things of one kind do: api-v1 and api-v2, worker-a and worker-b.
func numbered(a, b string) bool {
	without := func(s string) string {
		if i := strings.LastIndex(s, "-"); i >= 0 && i == len(s)-2 {
			s = s[:i+1]
		}
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return '0'
			}
			return r
		}, s)
	}
	return without(a) == without(b)
}

// plain is the name without case and separators.
func plain(s string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, delete, replace or swap (Damerau and
// Levenshtein, without repeated edits of one place).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range b {
		rows[0][j+1] = j + 1
	}
	for i := range len(a) {
		for j := range len(b) {
			same := 1
			if a[i] == b[j] {
				same = 0
			}
			rows[i+1][j+1] = min(rows[i][j+1]+1, rows[i+1][j]+1, rows[i][j]+same)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				rows[i+1][j+1] = min(rows[i+1][j+1], rows[i-1][j-1]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
