# SPDX-License-Identifier: MIT
# The library: its two forms, and how it is installed.

LIB_SOURCES := $(wildcard lib/*/*.c)
LIB_OBJECTS := $(LIB_SOURCES:lib/%.c=$(BUILD)/lib/%.o)
STATIC := $(BUILD)/libtierpool.a
SONAME := libtierpool.so.0
SHARED := $(BUILD)/libtierpool.so.$(VERSION)
HEADERS := $(wildcard include/*.h include/tierpool/*.h include/tierpool/*.hpp)

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

install: all
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/valgrind \
		$(DESTDIR)$(INCLUDEDIR)/tierpool $(DESTDIR)$(MANDIR)/man7
	$(Q)install -m 644 include/tierpool.h $(DESTDIR)$(INCLUDEDIR)
	$(Q)install -m 644 $(filter include/tierpool/%,$(HEADERS)) $(DESTDIR)$(INCLUDEDIR)/tierpool
	$(Q)install -m 644 lib/tierpool.7 $(DESTDIR)$(MANDIR)/man7
	$(Q)install -m 644 lib/tierpool.supp $(DESTDIR)$(LIBDIR)/valgrind
	$(Q)install -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)
	$(Q)install -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)
	$(Q)ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/$(SONAME)
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libtierpool.so
	$(Q)for pc in tierpool tierpool-jemalloc; do \
		sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' \
			lib/$$pc.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/$$pc.pc || exit; done

uninstall:
	$(Q)rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libtierpool.a libtierpool.so $(SONAME) $(notdir $(SHARED)) \
		pkgconfig/tierpool.pc pkgconfig/tierpool-jemalloc.pc valgrind/tierpool.supp) \
		$(HEADERS:include/%=$(DESTDIR)$(INCLUDEDIR)/%) $(DESTDIR)$(MANDIR)/man7/tierpool.7
	$(Q)rmdir $(DESTDIR)$(INCLUDEDIR)/tierpool 2>/dev/null || true
