"""Subtitles: SubRip, WebVTT and SubStation Alpha."""
