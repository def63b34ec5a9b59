# SPDX-License-Identifier: Apache-2.0

cnode_but_main += \
	%D%/loader.h \
	%D%/loader_protocol.h \
	%D%/records.h
