# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/term.h \
	%D%/term_bytes.h \
	%D%/term_chars.c \
	%D%/term_check.c \
	%D%/term_read.c \
	%D%/term_text.c \
	%D%/term_write.c
