#!/usr/bin/env python3
# answers every request with the same text
