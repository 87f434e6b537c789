# SPDX-License-Identifier: Apache-2.0
libfairlead_a_SOURCES += \
	src/policy/policy.h src/policy/expr.h \
	src/policy/check.c src/policy/compare.c src/policy/eval.c src/policy/expr.c src/policy/field.c \
	src/policy/lex.c src/policy/literal.c src/policy/parse.c src/policy/print.c src/policy/regex.c \
	src/policy/rows.c src/policy/rules.c src/policy/set.c src/policy/tmpl.c src/policy/value.c \
	src/policy/words.c
