# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/landlock.c %D%/landlock.h \
	%D%/privilege.c %D%/privilege.h \
	%D%/sandbox.c %D%/sandbox.h \
	%D%/syscalls.c %D%/syscalls.h \
	%D%/syscalls_tables.h
