# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/kept_layouts.c %D%/kept_layouts.h \
	%D%/kept_objects.c %D%/kept_objects.h \
	%D%/restore.c %D%/restore.h
