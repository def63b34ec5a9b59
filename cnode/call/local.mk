# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/call.c %D%/call.h \
	%D%/entries.c %D%/entries.h \
	%D%/locators.c %D%/locators.h \
	%D%/map_options.c %D%/map_options.h \
	%D%/permissions.c %D%/permissions.h \
	%D%/raise.c %D%/raise.h \
	%D%/refusal.c %D%/refusal.h \
	%D%/values.c %D%/values.h
