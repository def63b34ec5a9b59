# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/btf_find.c %D%/btf_find.h \
	%D%/btf_read.c %D%/btf_read.h \
	%D%/btf_visit.c %D%/btf_visit.h \
	%D%/btf_write.c %D%/btf_write.h \
	%D%/decode.c %D%/decode.h \
	%D%/decode_internal.h \
	%D%/decode_put.c \
	%D%/encode.c %D%/encode.h \
	%D%/encode_internal.h \
	%D%/encode_scalar.c \
	%D%/filter.c %D%/filter.h \
	%D%/fold.c %D%/fold.h \
	%D%/fold_internal.h \
	%D%/layout_read.c %D%/layout_read.h \
	%D%/layout_write.c %D%/layout_write.h \
	%D%/member.c %D%/member.h \
	%D%/numbers.h \
	%D%/plan.c %D%/plan.h \
	%D%/plan_check.c \
	%D%/plan_finish.c \
	%D%/plan_internal.h \
	%D%/plan_names.c \
	%D%/put_term.h \
	%D%/types.c %D%/types.h
