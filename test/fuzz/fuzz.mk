# SPDX-License-Identifier: Apache-2.0
# Builds the fuzzers from the C node's own sources, for GNU make: `make fuzz' runs
# this with the results of configure. Always with clang, which has libFuzzer.

FUZZ_SECONDS = 60
FUZZ_TARGETS = term dist rpc connection records jobs types tls
FUZZ_DIR = fuzz.build
CLANG = clang

tests := $(top_srcdir)/test/fuzz

CFLAGS = -std=gnu11 -g -O1 -fno-omit-frame-pointer -pthread -Wall -Wextra \
	-fsanitize=address,undefined -fno-sanitize-recover=all
CPPFLAGS = -I. -I$(top_srcdir)/cnode -Icnode -I$(tests) $(FUZZ_CPPFLAGS)
wrapped = bpf_map_create bpf_map_get_fd_by_id_opts bpf_map_get_next_id

sources := $(filter-out %/main.c %/syscalls_filter.c %/without.c,\
	$(wildcard $(top_srcdir)/cnode/*/*.c))
objects := $(patsubst $(top_srcdir)/cnode/%.c,$(FUZZ_DIR)/%.o,$(sources))
programs := $(FUZZ_TARGETS:%=$(FUZZ_DIR)/fuzz_%)

all: $(programs) $(FUZZ_DIR)/seeds/words

fuzz: all
	$(tests)/run $(FUZZ_SECONDS) $(FUZZ_DIR) $(FUZZ_TARGETS)

$(FUZZ_DIR)/%.o: $(top_srcdir)/cnode/%.c
	@mkdir -p $(@D)
	@echo "  CLANG    $@"
	@$(CLANG) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP \
	  -c -o $@ $<

$(FUZZ_DIR)/%.o: $(tests)/%.c
	@mkdir -p $(@D)
	@echo "  CLANG    $@"
	@$(CLANG) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_DIR)/fuzz_connection: $(FUZZ_DIR)/client.o $(FUZZ_DIR)/fuzz_node.o
$(FUZZ_DIR)/fuzz_connection: wrapped += getpeername

$(FUZZ_DIR)/fuzz_jobs: wrapped += bpf_prog_load bpf_prog_test_run_opts \
	bpf_obj_get_info_by_fd bpf_link_create libbpf_find_vmlinux_btf_id \
	privilege_narrow open

$(FUZZ_DIR)/fuzz_%: $(FUZZ_DIR)/fuzz_%.o $(FUZZ_DIR)/world.o $(objects)
	@echo "  LINK     $@"
	@$(CLANG) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ \
	  $(wrapped:%=-Wl,--wrap=%) $(FUZZ_LIBS)

# The words come last and stand for all.
$(FUZZ_DIR)/seeds/words: $(tests)/traffic $(tests)/seeds.py $(tests)/type_seeds.py
	@rm -rf $(@D)
	@mkdir -p $(@D)
	@$(PYTHON) -B $(tests)/seeds.py split $< $(@D)

.PHONY: all fuzz
.SECONDARY:
-include $(wildcard $(FUZZ_DIR)/*.d)
