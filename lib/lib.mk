# SPDX-License-Identifier: MIT
# The library: its two forms, and how it is installed.

LIB_SOURCES := $(wildcard lib/*/*.c)
LIB_OBJECTS := $(LIB_SOURCES:lib/%.c=$(BUILD)/lib/%.o)
STATIC := $(BUILD)/libtierpool.a
SONAME := libtierpool.so.0
SHARED := $(BUILD)/libtierpool.so.$(VERSION)
HEADERS := $(wildcard include/*.h include/tierpool/*.h include/tierpool/*.hpp)

# Pages of section 3, made of the comments in the headers. A file each, so a stamp stands for them.
PAGES := $(BUILD)/man3/.made
MAKE_PAGES := $(addprefix lib/man/,read.awk text.awk pages.awk)

all: $(STATIC) $(SHARED)

# Machine code and what -flto takes, side by side. The shared library is made of the first.
ifeq ($(LTO),yes)
$(LIB_OBJECTS): private override CFLAGS += -flto -ffat-lto-objects
$(SHARED): private override CFLAGS += -fno-lto
endif

$(BUILD)/lib/%.o: lib/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ilib $(CFLAGS) -fvisibility=hidden -c $< -o $@

$(STATIC): $(LIB_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(SHARED): $(LIB_OBJECTS) lib/tierpool.map
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=lib/tierpool.map \
		-Wl,-z,nodelete,-z,now $(if $(SANITIZE),,-Wl,-z,defs) $(LDFLAGS) -o $@ $(LIB_OBJECTS)
	$(Q)ln -sf $(@F) $(BUILD)/$(SONAME)
	$(Q)ln -sf $(SONAME) $(BUILD)/libtierpool.so

.PHONY: man
man: $(PAGES)
	@echo 'man -M $(BUILD) tierpool_buf_append'

$(PAGES): $(MAKE_PAGES) lib/tierpool.7 lib/tierpool.map $(wildcard lib/man/*.page) $(HEADERS)
	$(call say,MAN,$(@D))
	$(Q)rm -rf $(@D) && mkdir -p $(@D)
	$(Q)awk $(MAKE_PAGES:%=-f %) -v out=$(@D) -v version=$(VERSION) -v map=lib/tierpool.map \
		-v date=$$(sed -n 's/^\.TH TIERPOOL 7 \([^ ]*\).*/\1/p' lib/tierpool.7) lib/man/*.page $(filter %.h,$(HEADERS))
	$(Q)touch $@

# What programs find the library by: from @NAME@ to what it is. Folders that lie in the prefix are named from where
# the file lies, so that a tree may be moved.
CONFIGURED := s|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|; \
	s|@SHARED@|$(notdir $(SHARED))|; s|@SONAME@|$(SONAME)|
FROM_LIBDIR = s|@FROM_LIBDIR@|$$(realpath -ms --relative-to=$(LIBDIR) $(INCLUDEDIR))|
CMAKE := tierpool-config.cmake tierpool-config-version.cmake

install: all $(PAGES)
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/valgrind \
		$(DESTDIR)$(LIBDIR)/cmake/tierpool $(DESTDIR)$(INCLUDEDIR)/tierpool \
		$(DESTDIR)$(MANDIR)/man3 $(DESTDIR)$(MANDIR)/man7
	$(Q)install -m 644 include/tierpool.h $(DESTDIR)$(INCLUDEDIR)
	$(Q)install -m 644 $(filter include/tierpool/%,$(HEADERS)) $(DESTDIR)$(INCLUDEDIR)/tierpool
	$(Q)install -m 644 lib/tierpool.7 $(DESTDIR)$(MANDIR)/man7
	$(Q)install -m 644 $(dir $(PAGES))*.3 $(DESTDIR)$(MANDIR)/man3
	$(Q)install -m 644 lib/tierpool.supp $(DESTDIR)$(LIBDIR)/valgrind
	$(Q)install -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)
	$(Q)install -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)
	$(Q)ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/$(SONAME)
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libtierpool.so
	$(Q)for pc in tierpool tierpool-jemalloc; do \
		sed '$(CONFIGURED)' lib/$$pc.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/$$pc.pc || exit; done
	$(Q)for file in $(CMAKE); do \
		sed "$(CONFIGURED); $(FROM_LIBDIR)" lib/$$file.in >$(DESTDIR)$(LIBDIR)/cmake/tierpool/$$file || exit; done

uninstall: $(PAGES)
	$(Q)rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libtierpool.a libtierpool.so $(SONAME) $(notdir $(SHARED)) \
		pkgconfig/tierpool.pc pkgconfig/tierpool-jemalloc.pc valgrind/tierpool.supp $(CMAKE:%=cmake/tierpool/%)) \
		$(HEADERS:include/%=$(DESTDIR)$(INCLUDEDIR)/%) $(DESTDIR)$(MANDIR)/man7/tierpool.7
	$(Q)cd $(dir $(PAGES)) && for page in *.3; do rm -f $(DESTDIR)$(MANDIR)/man3/$$page; done
	$(Q)rmdir $(DESTDIR)$(INCLUDEDIR)/tierpool $(DESTDIR)$(LIBDIR)/cmake/tierpool 2>/dev/null || true

.PHONY: doc dist
# The reference as HTML.
doc:
	$(Q)mkdir -p build/doc
	$(call say,DOXYGEN,build/doc/html)
	$(Q)VERSION=$(VERSION) doxygen lib/Doxyfile

# What git has of the last commit; the same bytes each time.
dist:
	$(call say,TAR,build/tierpool-$(VERSION).tar.gz)
	$(Q)mkdir -p build
	$(Q)git archive --format=tar --prefix=tierpool-$(VERSION)/ HEAD >build/tierpool-$(VERSION).tar
	$(Q)gzip -9 -n -f build/tierpool-$(VERSION).tar
