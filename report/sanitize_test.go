package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSanitizeLeavesOnlyWhatAReaderSees(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a name stays", "ai/llm-gateway → kube-dns:53/UDP", "ai/llm-gateway → kube-dns:53/UDP"},
		{"other scripts stay", "Ωμέγα 東京 שלום", "Ωμέγα 東京 שלום"},
		{"an escape sequence cannot start", "a\x1b[31mb", "a�[31mb"},
		{"nor can one of a single byte", "a\u009b31mb\u0085c", "a�31mb�c"},
		{"a title cannot be set", "\x1b]0;owned\x07", "�]0;owned�"},
		{"lines become one", " a\r\n\tb\u2028c ", "a b c"},
		{"direction cannot be turned", "a\u202egnp.exe\u2066\u200f", "a�gnp.exe�"},
		{"nothing hides", "a\u200bb\ufeffc\u00add\u3164e\u2800f\U000e0041g\ufe0fh", "a�b�c�d�e�f�g�h"},
		{"bytes that are no text show", "a\xff\xfe\x00b", "a�b"},
		{"marks do not pile up", "z\u0301\u0301\u0301\u0301", "z\u0301\u0301"},
		{"nothing is nothing", "\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Sanitize(tt.in); got != tt.want {
				t.Errorf("Sanitize(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// A sentence of ours is longer than a name, and what is cut off ends between words.
func TestSanitizeParagraphKeepsSentences(t *testing.T) {
	if long := strings.Repeat("word ", 300) + "end"; SanitizeParagraph(long) != long {
		t.Errorf("%q", SanitizeParagraph(long))
	}
	if got := SanitizeParagraph(strings.Repeat("several ", MaxParagraph)); !strings.HasSuffix(got, " several …") || utf8.RuneCountInString(got) > MaxParagraph {
		t.Errorf("it ends with %q", got[len(got)-30:])
	}
	if got := SanitizeParagraph("a\x1b[31m\nb"); got != "a\uFFFD[31m b" {
		t.Errorf("%q", got)
	}
}

func FuzzSanitizeIsBoundedAndIdempotent(f *testing.F) {
	f.Add(hostileText)
	f.Add(strings.Repeat("x", MaxText-1) + "\x1b \x1b ")
	f.Add(strings.Repeat("東", 3*MaxText))
	f.Add(strings.Repeat("\u0301", 10_000))
	f.Fuzz(func(t *testing.T, s string) {
		got := Sanitize(s)
		if n := utf8.RuneCountInString(got); n > MaxText {
			t.Errorf("%d runes of %q", n, s)
		}
		if again := Sanitize(got); again != got {
			t.Errorf("Sanitize(%q) = %q, then %q", s, got, again)
		}
		for _, n := range []int{1, 2, 7, 60} {
			if short := shorten(got, n); columns(short) > n {
				t.Errorf("shorten(%q, %d) = %q, %d columns", got, n, short, columns(short))
			}
		}
	})
}
