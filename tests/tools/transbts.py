"""TransBTS in PyTorch, written from the paper (Wang et al., MICCAI 2021, arXiv 2103.04430) under its authors' names of tensors.

The encoder: a convolution to 16 channels, residual blocks with group norm before each convolution, and three convolutions of
stride 2 that double the channels. A transformer on the coarsest level, with positions that are learned. The decoder: each level is
doubled by a transposed convolution, joined with the encoder's, and followed by a residual block with batch norm. Widths follow from
that of a token: a 32nd at full size. What the authors' program stores without using it is left out, and so are dropout and the
softmax at its end.
"""

import torch
from torch import nn


def conv(inputs, outputs, kernel=3, stride=1):
    return nn.Conv3d(inputs, outputs, kernel, stride, kernel // 2)


class Encoding(nn.Module):
    """Norm, ReLU and convolution, twice, plus the input."""

    def __init__(self, width):
        super().__init__()
        self.bn1, self.bn2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.conv1, self.conv2 = conv(width, width), conv(width, width)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x):
        return x + self.conv2(self.relu2(self.bn2(self.conv1(self.relu1(self.bn1(x))))))


class Decoding(nn.Module):
    """Convolution, norm and ReLU, twice, plus the input where the channels stay."""

    def __init__(self, inputs, width):
        super().__init__()
        self.conv1, self.conv2 = conv(inputs, width), conv(width, width)
        self.bn1, self.bn2 = nn.BatchNorm3d(width), nn.BatchNorm3d(width)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.adds = inputs == width

    def forward(self, x):
        y = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))))
        return x + y if self.adds else y


class Named(nn.Module):
    """Its only layer has a name of its own."""

    def __init__(self, name, layer):
        super().__init__()
        self.add_module(name, layer)
        self.layer = name

    def forward(self, x):
        return getattr(self, self.layer)(x)


class Encoder(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.InitConv = Named("conv", conv(channels, width))
        self.EnBlock1 = Encoding(width)
        for level, count in enumerate((2, 2, 4), 2):
            wide = width * 2 ** (level - 1)
            self.add_module(f"EnDown{level - 1}", Named("conv", conv(wide // 2, wide, stride=2)))
            for i in range(1, count + 1):
                self.add_module(f"EnBlock{level}_{i}", Encoding(wide))

    def forward(self, x):
        x = self.EnBlock1(self.InitConv(x))
        levels = [x]
        for level, count in enumerate((2, 2, 4), 2):
            x = getattr(self, f"EnDown{level - 1}")(x)
            for i in range(1, count + 1):
                x = getattr(self, f"EnBlock{level}_{i}")(x)
            levels.append(x)
        return levels


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.qkv, self.proj, self.heads = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width), heads

    def forward(self, z):
        n, tokens, width = z.shape
        q, k, v = self.qkv(z).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width))

    def forward(self, z):
        return self.net(z)


class Normed(nn.Module):
    def __init__(self, width, layer):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), layer

    def forward(self, z):
        return self.fn(self.norm(z))


class Added(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.fn = layer

    def forward(self, z):
        return z + self.fn(z)


class Positions(nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.position_embeddings = nn.Parameter(torch.zeros(1, tokens, width))

    def forward(self, z):
        return z + self.position_embeddings


class Up(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.conv1, self.conv2 = conv(inputs, width, 1), nn.ConvTranspose3d(width, width, 2, 2)
        self.conv3 = conv(2 * width, width, 1)

    def forward(self, x, skip):
        return self.conv3(torch.cat((skip, self.conv2(self.conv1(x))), 1))


class TransBTS(nn.Module):
    def __init__(self, img_dim, num_channels, num_classes, embedding_dim, num_heads, num_layers, hidden_dim):
        super().__init__()
        width = embedding_dim // 32
        self.grid = [img_dim // 8] * 3
        self.Unet, self.bn, self.relu = Encoder(num_channels, width), nn.BatchNorm3d(8 * width), nn.ReLU()
        self.conv_x = conv(8 * width, embedding_dim)
        self.position_encoding = Positions((img_dim // 8) ** 3, embedding_dim)
        blocks = []
        for _ in range(num_layers):
            blocks.append(Added(Normed(embedding_dim, Attention(embedding_dim, num_heads))))
            blocks.append(Added(Normed(embedding_dim, Mlp(embedding_dim, hidden_dim))))
        self.transformer = Named("net", nn.Sequential(*blocks))
        self.Enblock8_1, self.Enblock8_2 = Decoding(embedding_dim, 8 * width), Decoding(8 * width, 8 * width)
        for level in (4, 3, 2):
            wide = width * 2 ** (level - 2)
            self.add_module(f"DeUp{level}", Up(2 * wide, wide))
            self.add_module(f"DeBlock{level}", Decoding(wide, wide))
        self.endconv = conv(width, num_classes, 1)

    def forward(self, x):
        *levels, x = self.Unet(x)
        z = self.conv_x(self.relu(self.bn(x))).flatten(2).transpose(1, 2)
        z = self.transformer(self.position_encoding(z))
        y = self.Enblock8_2(self.Enblock8_1(z.transpose(1, 2).unflatten(2, self.grid)))
        for level, skip in zip((4, 3, 2), reversed(levels)):
            y = getattr(self, f"DeBlock{level}")(getattr(self, f"DeUp{level}")(y, skip))
        return self.endconv(y)


if __name__ == "__main__":
    network = TransBTS(128, 4, 4, 512, 8, 4, 4096)
    print(sum(p.numel() for p in network.parameters()), "parameters")
